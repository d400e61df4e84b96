"""CLIP behind the learner: stock outputs, exact shortcuts, losses, label spaces, ties."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import hypothesis
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from safetensors.torch import save_file

from suite.backbones.class_prompts import ClassPrompts
from suite.backbones.clip import MiniClipConfig
from suite.backbones.clip_forward import QuickGelu, replace_quick_gelu
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.mini_tokenizer import MiniTokenizer, heard, vocabulary_of
from suite.backbones.open_clip_network import load_open_clip
from suite.backbones.pixels import random_resized_crop
from suite.backbones.pretrain_clip import load_mini_clip
from suite.benchmarks.stream import ImageTask, LabelSpace, Stream
from suite.errors import ConfigError
from suite.lowrank.inject import adapt_open_clip_tower
from suite.lowrank.layer import fresh_branch, slots_of
from suite.lowrank.placement import Placement

EVERYWHERE = Placement.model_validate("qkvoinout")


def adapt(learner: ClipLearner, placement: str = "qkvoinout", rank: int = 4) -> None:
    g = torch.Generator().manual_seed(0)
    for slot in learner.place(Placement.model_validate(placement)):
        slot.parts["task"] = fresh_branch(slot, rank, g, gate=torch.ones(rank))
        slot.branch("task").b.data.normal_(0, 0.05, generator=g)


def test_adapted_network_without_branches_is_the_stock_network(learner: ClipLearner) -> None:
    stock, tokenize = load_mini_clip()
    pixels = torch.randn(4, 3, 32, 32)
    tokens = tokenize(["a drawing of a circle", "the flag of france"])
    with torch.no_grad():
        assert torch.equal(learner.network.encode_image(pixels), stock.encode_image(pixels))  # type: ignore[operator]
        assert torch.allclose(learner.encode_texts(tokens), F.normalize(stock.encode_text(tokens), dim=-1), atol=1e-6)  # type: ignore[operator]
    assert learner.network.state_dict().keys() == stock.state_dict().keys()


def test_fast_forward_equals_plain_forward_with_branches(learner: ClipLearner) -> None:
    adapt(learner)
    pixels, tokens = torch.randn(5, 3, 32, 32), learner.prompts.label_space((0, 1, 2)).tokens
    fast = learner.encode_images(pixels), learner.encode_texts(tokens)
    learner.plain = True
    plain = learner.encode_images(pixels), learner.encode_texts(tokens)
    for quick, slow in zip(fast, plain, strict=True):
        assert torch.allclose(quick, slow, atol=1e-6)


def test_text_cut_to_the_longest_prompt_is_exact(learner: ClipLearner) -> None:
    _, tokenize = load_mini_clip()
    whole = tokenize(["a drawing of a circle", "the flag of france"])
    cut = whole[:, : int((whole != 0).sum(dim=1).max())]
    assert cut.shape[1] < whole.shape[1]
    assert torch.allclose(learner.encode_texts(cut), learner.encode_texts(whole), atol=1e-6)


def test_released_setting_has_4425984_trainable_numbers() -> None:
    """codyra_method: rank 16, six placements, both encoders of ViT-B/16, gates included."""
    with torch.device("meta"):
        network = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16-quickgelu"))
    towers = (network.visual.transformer.resblocks, network.transformer.resblocks)
    counts = []
    for name, blocks in zip(("vision", "text"), towers, strict=True):
        slots = slots_of(adapt_open_clip_tower(blocks, name, causal=name == "text"))
        assert len(slots) == 72
        counts.append(sum(16 * (slot.in_features + slot.out_features) + 16 for slot in slots.values()))
    assert counts == [2_655_360, 1_770_624]


def test_text_to_image_loss_is_divided_by_seen_and_current_classes(learner: ClipLearner) -> None:
    """Dense form of the spec: soft target rows, cross entropy over the batch's images, mean over all K rows."""
    adapt(learner)
    learner.begin_task(1)
    rows = torch.tensor([0, 5, 5, 9])
    batch = learner.batch(torch.full((4,), 1), rows, torch.Generator())
    texts = learner.encode_texts(learner.prompts.label_space((0, 1)).tokens)
    images = learner.encode_images(batch.inputs["pixels"])
    logits = learner.compare(texts, images)  # (K, n): seen classes first
    labels = batch.inputs["labels"]
    seen = len(learner.tasks[0].class_names)
    target = torch.zeros_like(logits)
    target[labels + seen, torch.arange(4)] = 1.0
    text_to_image = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    image_to_text = F.cross_entropy(logits.T[:, seen:], labels)
    assert torch.allclose(learner.forward(batch).loss, image_to_text + text_to_image, atol=1e-5)


def test_class_features_are_what_images_are_compared_with(learner: ClipLearner) -> None:
    """Of training prompts in the loss, of the mean of the evaluation prompts in evaluations; as the network stands."""
    (batch,) = learner.batches(1, "train", 1000)
    with torch.no_grad():
        output, texts = learner.forward(batch), learner.class_features([1], judged=False)
        assert torch.equal(output.logits, learner.compare(output.features, texts))
        rows = learner.class_features([0, 1], judged=True)
        assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-6)
        heard: list[torch.Tensor] = []
        learner.answer = lambda output, classes: heard.append(output.logits) or output.logits  # type: ignore[func-returns-value]
        learner.evaluate("train", [1])
        assert torch.allclose(heard[0], learner.compare(output.features, learner.class_features([1], judged=True)), atol=1e-4)
        adapt(learner)
        assert not torch.allclose(learner.class_features([0, 1], judged=True), rows, atol=1e-3)


def test_only_the_image_loss_when_only_the_text_encoder_is_adapted(learner: ClipLearner) -> None:
    adapt(learner, "text:qkvo")
    learner.begin_task(0)
    batch = learner.batch(torch.zeros(4, dtype=torch.int64), torch.tensor([0, 5, 9, 12]), torch.Generator())
    output = learner.forward(batch)
    assert torch.allclose(output.loss, F.cross_entropy(output.logits, batch.inputs["labels"]))


def test_mixed_rows_are_judged_among_their_own_classes(learner: ClipLearner) -> None:
    adapt(learner)
    learner.begin_task(2)
    tasks, rows = torch.tensor([0, 2, 0]), torch.tensor([3, 7, 20])
    generator = torch.Generator()
    mixed = learner.forward(learner.batch(tasks, rows, generator)).loss
    single = [
        F.cross_entropy(learner.forward(batch).logits, batch.inputs["labels"])
        for task, row in zip(tasks.tolist(), rows.tolist(), strict=True)
        for batch in [learner.batch(torch.tensor([task]), torch.tensor([row]), generator)]
    ]
    assert torch.allclose(mixed, torch.stack(single).mean(), atol=1e-5)


def test_rows_of_one_task_are_compared_with_all_tasks_of_their_pool(learner: ClipLearner) -> None:
    """Classes of the other tasks are masked, so that the loss is that of the rows alone and every draw runs the same kernels."""
    adapt(learner)
    learner.begin_task(2)
    pool = torch.tensor([[0, 3], [0, 20], [1, 5], [2, 7]])
    alone, mixed = (
        learner.batch(torch.tensor(tasks), torch.tensor(rows), torch.Generator(), pool=pool)
        for tasks, rows in (([0, 0], [3, 20]), ([1, 2], [5, 7]))
    )
    assert learner.signature(alone) == learner.signature(mixed)
    output = learner.forward(alone)
    bare = learner.forward(learner.batch(alone.tasks, alone.rows, torch.Generator()))
    assert torch.allclose(output.loss, F.cross_entropy(bare.logits, alone.inputs["labels"]), atol=1e-5)
    output.loss.backward()
    gradients = [p.grad for slot in learner.slots.values() for p in slot.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    part = alone.part(torch.tensor([1]))
    assert learner.signature(part)[0] == learner.signature(alone)[0]


def test_union_is_never_easier_than_the_task(mini_stream: Stream, union_stream: Stream) -> None:
    device = torch.device("cpu")
    within = MiniClipConfig().build(mini_stream, device).evaluate("test", range(3))
    overall = MiniClipConfig().build(union_stream, device).evaluate("test", range(3))
    for own, union in zip(within, overall, strict=True):
        assert np.all(union.scores <= own.scores)
    assert sum(o.mean for o in overall) < sum(o.mean for o in within)


def test_evaluation_equals_a_plain_argmax(learner: ClipLearner, mini_stream: Stream) -> None:
    task = mini_stream.tasks[0]
    assert isinstance(task, ImageTask)
    _, tokenize = load_mini_clip()
    texts = learner.encode_texts(tokenize([task.eval_templates[0].replace("{}", name) for name in task.class_names]))
    pixels = torch.cat(list(learner.pixels.eval_batches([0], "test", 64)))
    best = (learner.encode_images(pixels) @ texts.T).argmax(dim=1).numpy()
    assert learner.evaluate("test", [0])[0].mean == pytest.approx(100 * np.mean(best == task.test.labels))


def test_equal_prompts_tie_to_the_lowest_class_and_are_counted(union_stream: Stream) -> None:
    """Two domains that share a class name and a template: the earlier task wins, and the tie is counted."""
    first, second, *_ = union_stream.tasks
    assert isinstance(first, ImageTask)
    assert isinstance(second, ImageTask)
    twin = dataclasses.replace(first, name="twin")
    stream = Stream("ties", [first, twin], LabelSpace.UNION, ("zscl.last",), shared_classes="tie")
    outcomes = MiniClipConfig().build(stream, torch.device("cpu")).evaluate("test", [0, 1])
    alone = MiniClipConfig().build(Stream("one", [first], LabelSpace.UNION, ("zscl.last",)), torch.device("cpu"))
    assert np.array_equal(outcomes[0].scores, alone.evaluate("test", [0])[0].scores)
    assert outcomes[1].mean == 0.0
    assert outcomes[0].ties == len(first.test)


def test_templates_are_averaged_after_normalisation(mini_stream: Stream) -> None:
    task = mini_stream.tasks[0]
    assert isinstance(task, ImageTask)
    both = dataclasses.replace(task, eval_templates=("a drawing of a {}.", "a picture of a {}."))
    learner = MiniClipConfig().build(Stream("s", [both], LabelSpace.TASK, ("zscl.last",)), torch.device("cpu"))
    assert isinstance(learner, ClipLearner)
    _, tokenize = load_mini_clip()
    with torch.no_grad():
        parts = [
            learner.encode_texts(tokenize([template.replace("{}", name) for name in task.class_names]))
            for template in both.eval_templates
        ]
        found = learner._class_embeddings()
    assert torch.allclose(found, F.normalize(parts[0] + parts[1], dim=-1), atol=1e-6)


def test_tokenizer_ends_every_text_with_its_highest_id() -> None:
    tokenizer = MiniTokenizer(vocabulary_of(["a red circle"]), 12)
    tokens = tokenizer(["A red, circle!", "", "red circle a red circle red " * 9, "blue"])
    assert tokens.shape == (4, 12)
    assert torch.equal(tokens.max(dim=1).values, torch.full((4,), tokenizer.end))
    assert tokens[1].tolist() == [1, tokenizer.end, *[0] * 10]
    assert torch.equal(tokens[2] != 0, torch.ones(12, dtype=torch.bool))
    assert not torch.equal(tokens, tokenizer(["A red, circle!", "", "red circle a red circle red " * 9, "blue"], spelled=True))


@hypothesis.given(st.text(max_size=30), st.text(max_size=30))
@hypothesis.example("red circle", "redcircle")
@hypothesis.example("re d", "red")
@hypothesis.example("red1", "red 1")
@hypothesis.example("red" * 40, "red" * 41)
@hypothesis.example("Maße", "Masse")
@hypothesis.example("m²", "m2")
@hypothesis.example("x" * 300 + "a", "x" * 300 + "b")
def test_texts_have_the_same_tokens_only_when_they_are_spoken_alike(one: str, other: str) -> None:
    tokenizer = MiniTokenizer(vocabulary_of(["a red circle, d 1"]), 40)
    first, second = tokenizer([one, other])
    assert torch.equal(first, second) == (heard(one) == heard(other))


def test_crop_is_driven_by_its_generator_alone() -> None:
    pixels = torch.rand(3, 3, 16, 16)
    first = random_resized_crop(pixels, torch.Generator().manual_seed(1))
    torch.rand(7)
    assert torch.equal(first, random_resized_crop(pixels, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, random_resized_crop(pixels, torch.Generator().manual_seed(2)))
    flat = torch.full((2, 3, 16, 16), 0.5)
    assert torch.allclose(random_resized_crop(flat, torch.Generator().manual_seed(0)), flat)


def test_prompts_of_one_task_are_cut_to_its_own_longest(mini_stream: Stream) -> None:
    _, tokenize = load_mini_clip()
    tasks = [task for task in mini_stream.tasks if isinstance(task, ImageTask)]
    prompts = ClassPrompts(tasks, tokenize, torch.device("cpu"))
    tokens = prompts.label_space((1,)).tokens
    assert tokens.shape[0] == len(tasks[1].class_names)
    assert bool((tokens[:, -1] != 0).any())


def test_dropout_of_live_branches_is_off_in_evaluation(learner: ClipLearner) -> None:
    adapt(learner)
    plain = learner.evaluate("test", [0])[0].scores
    for slot in learner.slots.values():
        slot.branch("task").dropout = 0.9
    assert np.array_equal(learner.evaluate("test", [0])[0].scores, plain)
    assert all(slot.branch("task").training for slot in learner.slots.values())


def test_quick_gelu_is_open_clips() -> None:
    """Values and gradients, also far out where one side is flat."""
    from open_clip.transformer import QuickGELU

    x = torch.linspace(-30, 30, 401, requires_grad=True)
    ours, theirs = QuickGelu(), QuickGELU()
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    (a,), (b,) = (torch.autograd.grad(layer(x).sum(), x) for layer in (ours, theirs))
    assert torch.allclose(a, b, atol=1e-5)
    ours.plain = True
    assert torch.equal(ours(x), theirs(x))


def test_random_weights_are_the_same_in_every_run() -> None:
    """Runs share what the untouched backbone says; the generators of others stay where they were."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    networks = [load_open_clip("ViT-B-32-quickgelu", None)[0] for _ in range(2)]
    assert torch.equal(torch.rand(3), expected)
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("quick", [True, False])
def test_quick_gelu_takes_its_place_only_where_it_was(quick: bool) -> None:
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8}
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 2}
    network = open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text, quick_gelu=quick)
    for tower in (network.visual, network):
        replace_quick_gelu(tower.transformer.resblocks)
    found = [type(module) for module in network.modules() if "gelu" in type(module).__name__.lower()]
    assert found == [QuickGelu if quick else torch.nn.GELU] * 4


@pytest.fixture
def tiny_open_clip(tmp_path: Path) -> str:
    """Name of an open_clip architecture that is built in no time."""
    path = tmp_path / "tiny-quickgelu.json"
    path.write_text(
        json.dumps(
            {
                "embed_dim": 8,
                "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
                "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
            }
        )
    )
    open_clip.add_model_config(path)
    return path.stem


@pytest.mark.parametrize(
    "what", ["pickle", "script", "text", "empty", "truncated", "foreign", "no tensors", "a list", "foreign safetensors"]
)
def test_unusable_weight_files_are_named_in_one_sentence(what: str, tiny_open_clip: str, tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if "safetensors" in what else "w.pt")
    if what == "pickle":
        torch.save({"weight": Path()}, path)
    elif what == "script":
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)  # type: ignore[no-untyped-call]
    elif what == "truncated":
        torch.save({"weight": torch.zeros(4000)}, path)
        path.write_bytes(path.read_bytes()[:5000])
    elif "safetensors" in what:
        save_file({"weight": torch.zeros(2)}, path)
    elif what in ("foreign", "no tensors", "a list"):
        torch.save({"foreign": {"weight": torch.zeros(2)}, "no tensors": {}, "a list": [1]}[what], path)
    else:
        path.write_text("weights" if what == "text" else "")
    with pytest.raises(ConfigError, match="^backbone.pretrained: weights '") as caught:
        load_open_clip(tiny_open_clip, str(path))
    assert "\n" not in str(caught.value)
    assert ("pickles are never run" in str(caught.value)) == (what in ("pickle", "text"))
    assert ("empty or cut short" in str(caught.value)) == (what == "empty")
