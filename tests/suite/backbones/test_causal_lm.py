"""The language model learner on the shipped model and on tiny random ones of other classes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from suite.backbones import causal_learner
from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig, MiniLMConfig
from suite.backbones.learner import Batch
from suite.backbones.lm_network import MINI_LM, load_causal_lm, placement_map, windows
from suite.benchmarks.mini import MiniMtilConfig
from suite.benchmarks.mini_trace import COUNTS, MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.benchmarks.text_scores import score
from suite.errors import ConfigError
from suite.lowrank.layer import fresh_branch
from suite.lowrank.placement import Placement

CPU = torch.device("cpu")
TASKS = ("Py150", "NumGLUE-ds")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return MiniTraceConfig(tasks=TASKS).build(Path())


def build(stream: Stream, config: Any = None, **fields: Any) -> CausalLearner:
    built = (config or MiniLMConfig(**fields)).build(stream, CPU)
    assert isinstance(built, CausalLearner)
    return built


def batch_of(learner: CausalLearner, rows: list[int], task: int = 0) -> Batch:
    places = torch.tensor(rows)
    return learner.batch(torch.full_like(places, task), places, torch.Generator())


def adapt(learner: CausalLearner, *, dropout: float = 0.0) -> None:
    generator = torch.Generator().manual_seed(0)
    for slot in learner.slots.values():
        branch = fresh_branch(slot, 4, generator)
        branch.b.data.normal_(generator=generator).mul_(0.05)
        branch.dropout = dropout
        slot.parts["task"] = branch


def save_model(folder: Path, name: str, **fields: Any) -> CausalLMConfig:
    """A tiny random model of another class in ``folder``, with the shipped tokenizer."""
    import transformers

    tokens = {"vocab_size": 710, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    network = getattr(transformers, name)(getattr(transformers, fields.pop("config"))(**tokens, **fields))
    network.save_pretrained(folder)
    for file in MINI_LM.glob("tokenizer*.json"):
        shutil.copy(file, folder)
    return CausalLMConfig(model=str(folder), max_prompt_tokens=64, max_answer_tokens=16)


def copy_of_mini(folder: Path) -> Path:
    shutil.copytree(MINI_LM, folder)
    return folder


def test_loss_at_answers_equals_loss_picked_from_all_logits(stream: Stream) -> None:
    """The fast path against its plain twin, gradients included."""
    learner = build(stream)
    adapt(learner)
    gradients = []
    for plain_side in (False, True):
        learner.plain = plain_side
        value = learner.forward(batch_of(learner, [0, 1, 2, 3, 4])).loss
        value.backward()  # type: ignore[no-untyped-call]
        gradients.append((value.item(), [p.grad.clone() for p in learner.network.parameters() if p.grad is not None]))
        learner.network.zero_grad()
    (fast, fast_gradients), (plain, plain_gradients) = gradients
    assert fast == pytest.approx(plain, abs=1e-6)
    assert len(fast_gradients) == 2 * len(learner.slots)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(fast_gradients, plain_gradients, strict=True))


def test_loss_is_the_mean_over_answer_tokens_of_the_stock_model(stream: Stream) -> None:
    """Without branches: the stock class, one row at a time, labels only at the answer."""
    learner = build(stream)
    network, _ = load_causal_lm(str(MINI_LM))
    total, tokens = 0.0, 0
    for row in range(6):
        example = learner.texts.training(0)[row]
        ids = torch.from_numpy(example.ids)[None]
        labels = ids.clone()
        labels[:, : -example.answer_tokens] = -100
        with torch.no_grad():
            total += network(ids, labels=labels).loss.item() * example.answer_tokens
        tokens += example.answer_tokens
    output = learner.forward(batch_of(learner, list(range(6))))
    assert output.loss.item() == pytest.approx(total / tokens, abs=1e-5)
    assert learner.distil_logits(batch_of(learner, list(range(6))), output).shape == (tokens, 710)


def test_merged_equals_unmerged(stream: Stream) -> None:
    learner = build(stream)
    adapt(learner)
    batch = batch_of(learner, list(range(8)))
    with torch.no_grad():
        unmerged = learner.forward(batch).logits
        for slot in learner.slots.values():
            slot.add_to_weight(slot.branch("task").factors())
            del slot.parts["task"]
        assert (learner.forward(batch).logits - unmerged).abs().max() <= 1e-5 * unmerged.abs().max()


def test_answers_are_generated_with_branches_merged_and_the_weights_left_alone(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one branch depends on its input, which stays a branch."""
    learner = build(stream)
    adapt(learner)
    learner.slots["layers.1.q"].branch("task").middle = lambda x, low: low * x.mean(dim=-1, keepdim=True).sigmoid()
    maps = [module.map for module in learner.network.modules() if hasattr(module, "map")]
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    seen: list[int] = []
    generating = causal_learner.generate

    def watched(*given: Any) -> list[list[int]]:
        seen.append(sum(one.made is not None for one in maps))
        return generating(*given)

    monkeypatch.setattr(causal_learner, "generate", watched)
    merged = learner.evaluate("validation", [0, 1])
    learner.before_forward = lambda inputs, *, training: None  # a method that might choose
    unmerged = learner.evaluate("validation", [0, 1])
    assert seen == [len(maps) - 1, 0]
    assert [found.texts for found in merged] == [found.texts for found in unmerged]
    assert len(set(merged[0].texts)) > 1
    after = learner.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(one.made is not None for one in maps)


def test_evaluation_scores_every_row_and_keeps_the_texts(stream: Stream) -> None:
    learner = build(stream)
    for split, count in (("validation", COUNTS["validation"]), ("test", COUNTS["test"])):
        outcomes = learner.evaluate(split, [0, 1])  # type: ignore[arg-type]
        assert [len(found.texts) for found in outcomes] == [count, count]
        assert all(((found.scores >= 0) & (found.scores <= 100)).all() for found in outcomes)
    test = stream.tasks[1].test
    rows = zip(outcomes[1].texts, test.answers, test.prompts, strict=True)  # type: ignore[union-attr]
    assert outcomes[1].scores.tolist() == [score("accuracy", "strict", *row) for row in rows]
    alone = learner.evaluate("test", [1])[0]
    assert alone.texts == outcomes[1].texts


def test_evaluation_ignores_branch_dropout_and_training_uses_it(stream: Stream) -> None:
    learner = build(stream)
    adapt(learner, dropout=0.5)
    batch = batch_of(learner, list(range(8)))
    assert learner.forward(batch).loss.item() != learner.forward(batch).loss.item()
    assert learner.evaluate("validation", [0])[0].texts == learner.evaluate("validation", [0])[0].texts
    assert learner.forward(batch).loss.item() != learner.forward(batch).loss.item()


def test_temperature_draws_the_same_answers_every_time(stream: Stream) -> None:
    texts = [build(stream, temperature=1.5, sampling_seed=seed).evaluate("validation", [0])[0].texts for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_facts_count_cut_rows_and_padding(stream: Stream) -> None:
    learner = build(stream, max_prompt_tokens=20, max_answer_tokens=4)
    assert learner.facts() == {}
    learner.begin_task(0)
    lengths = learner.lengths(0)
    assert lengths is not None
    order = np.argsort(lengths)
    batch_of(learner, [int(order[0]), int(order[-1])])
    facts = learner.facts()
    prompts = [len(learner.tokenizer(p, add_special_tokens=False)["input_ids"]) for p in stream.tasks[0].train.prompts]  # type: ignore[union-attr]
    assert facts["rows"] == COUNTS
    assert facts["prompts_cut_on_the_left"]["train"] == sum(count > 20 for count in prompts) > 0
    assert facts["train_answers_cut"] > 0
    answers = stream.tasks[0].test.answers  # type: ignore[union-attr]
    long = sum(len(learner.tokenizer(answer, add_special_tokens=False)["input_ids"]) > 4 for answer in answers)
    assert facts["answers_over_the_limit"]["test"] == long > 0
    assert f"Py150: {long} of {COUNTS['test']} test answers longer than the 4 tokens that are generated" in facts["notes"]
    cut = facts["prompts_cut_on_the_left"]["train"]
    assert facts["notes"][0] == f"Py150: {cut} of {COUNTS['train']} train prompts cut on the left to 20 tokens"
    assert facts["notes"][-1] == f"Py150: {facts['train_answers_cut']} of {COUNTS['train']} train answers cut to 4 tokens"
    shortest, longest = lengths[order[0]], lengths[order[-1]]
    assert facts["padding_share"] == pytest.approx((longest - shortest) / (2 * longest), abs=1e-4)
    learner.begin_task(1)
    assert learner.facts()["padding_share"] == 0.0


def test_explanations_behind_a_scored_letter_may_be_long() -> None:
    learner = build(MiniTraceConfig(tasks=("ScienceQA",)).build(Path()), max_answer_tokens=2)
    learner.begin_task(0)
    assert max(learner.texts.encoder.answer_lengths(learner.texts.examples(0, "test").answers)) > learner.texts.limit(0)
    assert learner.facts()["answers_over_the_limit"] == {"validation": 0, "test": 0}


def test_replayed_rows_of_several_tasks_share_a_batch(stream: Stream) -> None:
    learner = build(stream)
    mixed = learner.batch(torch.tensor([0, 1]), torch.tensor([3, 5]), torch.Generator())
    single = learner.batch(torch.tensor([1]), torch.tensor([5]), torch.Generator())
    length = single.inputs["input_ids"].shape[1]
    assert torch.equal(mixed.inputs["input_ids"][1, :length], single.inputs["input_ids"][0])


def test_gradient_checkpointing_gives_the_same_gradients(stream: Stream) -> None:
    found = []
    for checkpointing in (False, True):
        learner = build(stream, gradient_checkpointing=checkpointing)
        adapt(learner)
        learner.forward(batch_of(learner, [0, 1, 2])).loss.backward()  # type: ignore[no-untyped-call]
        found.append([p.grad for p in learner.network.parameters() if p.grad is not None])
        assert learner.evaluate("validation", [0])[0].texts
    assert len(found[0]) == len(found[1]) > 0
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["mini", "gpt2"])
def test_bf16_storage_keeps_adapted_weights_in_fp32(name: str, stream: Stream, tmp_path: Path) -> None:
    config: Any = MiniLMConfig(dtype="bf16")
    if name == "gpt2":
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        config = save_model(tmp_path, "GPT2LMHeadModel", config="GPT2Config", **shape).model_copy(update={"dtype": "bf16"})
    learner = build(stream, config)
    chosen = learner.place(Placement.model_validate("v"))
    dtypes = {slot.name.split(".", 2)[2]: slot.weight.dtype for slot in learner.slots.values()}
    assert dtypes["v"] == torch.float32
    assert dtypes["out"] == torch.bfloat16
    state = learner.network.state_dict()
    adapt(learner)
    loss = learner.forward(batch_of(learner, [0, 1, 2])).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == chosen[0].branch("task").a.grad.dtype == torch.float32  # type: ignore[union-attr]
    before = {key: value.clone() for key, value in state.items()}
    for slot in chosen:
        slot.add_to_weight(slot.branch("task").factors())
    moved = [key for key in before if not torch.equal(before[key], learner.network.state_dict()[key])]
    assert len(moved) == 2 if name == "gpt2" else len(moved) == 3
    assert learner.evaluate("validation", [1])[0].texts


def test_demonstrations_stand_before_prompts_but_not_in_training(stream: Stream) -> None:
    plain, shown = build(stream), build(stream, demonstrations=2, max_prompt_tokens=192)
    shown.begin_task(1)
    assert shown.facts()["demonstrations"] == 2
    ids = shown.texts.prompts(1, "test")[0].ids
    text = shown.tokenizer.decode(ids, skip_special_tokens=True)
    rows = shown.texts.demonstration_rows(1)
    train, test = stream.tasks[1].train, stream.tasks[1].test
    for row in rows:
        body = train.prompts[row].removeprefix("Solve the following math problem.\nQuestion:\n")  # type: ignore[union-attr]
        assert body + train.answers[row] + "\n\n" in text  # type: ignore[union-attr]
    assert text.startswith("Solve the following math problem.\nQuestion:\nWe will give you several examples")
    assert text.endswith(test.prompts[0].removeprefix("Solve the following math problem.\nQuestion:\n"))  # type: ignore[union-attr]
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(plain.texts.training(1), shown.texts.training(1), strict=True))


def test_windows_shrink_to_the_models_own() -> None:
    network, _ = load_causal_lm(str(MINI_LM))  # 256 positions
    assert windows(network, 192, 64) == (192, 64)
    assert windows(network, 1024, 512) == (128, 128)
    assert windows(network, 1024, 32) == (224, 32)


def test_map_of_the_shipped_model() -> None:
    assert placement_map("mini-lm") == [
        ("q", "layers 0-2 self_attn.q_proj", "96 x 96"),
        ("k", "layers 0-2 self_attn.k_proj", "48 x 96"),
        ("v", "layers 0-2 self_attn.v_proj", "48 x 96"),
        ("o", "layers 0-2 self_attn.o_proj", "96 x 96"),
        ("in", "layers 0-2 mlp.gate_proj", "256 x 96"),
        ("in", "layers 0-2 mlp.up_proj", "256 x 96"),
        ("out", "layers 0-2 mlp.down_proj", "96 x 256"),
    ]


def test_placements_choose_slots(stream: Stream) -> None:
    learner = build(stream)
    assert [slot.name for slot in learner.place(Placement.model_validate("qin@1-1"))] == [
        "layers.1.q", "layers.1.in.gate", "layers.1.in.up"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="names no layer of this backbone; it has layers 0 to 2"):
        learner.place(Placement.model_validate("vision:q"))


def test_model_without_the_asked_projections(stream: Stream, tmp_path: Path) -> None:
    """A mixture of experts has no single feed-forward map."""
    config = save_model(
        tmp_path, "Qwen3MoeForCausalLM", config="Qwen3MoeConfig", hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_experts=4,
        num_experts_per_tok=2, moe_intermediate_size=16,
    )  # fmt: skip
    learner = build(stream, config)
    assert learner.place(Placement.model_validate("qkvo"))
    with pytest.raises(ConfigError, match=r"asks for in, out, which Qwen3MoeForCausalLM does not have .* it has k, o, q, v"):
        learner.place(Placement.model_validate("qinout"))


def test_images_are_refused(tmp_path: Path) -> None:
    stream = MiniMtilConfig(domains=("shapes",), shots=1).build(tmp_path)
    with pytest.raises(ConfigError, match="holds images and needs a CLIP backbone"):
        build(stream)


def spoil(folder: Path, what: str) -> str:
    copy_of_mini(folder)
    weights = folder / "model.safetensors"
    if what == "no weights":
        weights.unlink()
    elif what == "pickled weights":
        weights.unlink()
        torch.save({}, folder / "pytorch_model.bin")
    elif what == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif what == "foreign weights":
        save_file({"something.else": torch.zeros(2)}, weights, metadata={"format": "pt"})
    elif what == "weights of another width":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    elif what == "half of the weights":
        save_file(dict(list(load_file(weights).items())[::2]), weights, metadata={"format": "pt"})
    elif what == "config that is a list":
        (folder / "config.json").write_text("[]")
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "not a language model":
        (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    elif what == "no tokenizer":
        for file in folder.glob("tokenizer*.json"):
            file.unlink()
    return str(folder)


@pytest.mark.parametrize(
    "what",
    [
        "no weights", "pickled weights", "cut weights", "foreign weights", "weights of another width", "half of the weights",
        "config that is a list", "no config", "not a language model", "no tokenizer",
    ],
)  # fmt: skip
def test_unusable_models_are_named_in_one_sentence(what: str, stream: Stream, tmp_path: Path) -> None:
    model = spoil(tmp_path / "model", what)
    with pytest.raises(ConfigError) as caught:
        build(stream, CausalLMConfig(model=model))
    assert str(caught.value).startswith(f"backbone.model: '{model}' cannot be loaded (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("known", [True, False])
def test_code_in_a_folder_is_never_run_and_nothing_is_asked(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``auto_map`` in all files that may have one, whether transformers has a class of its own or not; stdin would say yes."""
    folder, marker = copy_of_mini(tmp_path / "model"), tmp_path / "ran"
    auto = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoTokenizer": ["own.T", "own.T"]}
    code = f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n"
    for name in ("own.py", "custom_generate/generate.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    for name in ("config.json", "tokenizer_config.json"):
        fields = {**json.loads((folder / name).read_text()), "auto_map": auto}
        (folder / name).write_text(json.dumps(fields if known else {**fields, "model_type": "own", "tokenizer_class": "T"}))
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    for use in (load_causal_lm, placement_map):
        if known:
            use(str(folder))
        else:
            with pytest.raises(ConfigError, match=r"contains custom code .*code in a folder is never run"):
                use(str(folder))
    assert (asked, marker.exists()) == ([], False)


def test_path_that_is_not_there_is_not_looked_for_on_the_hub(stream: Stream, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a folder; give one with config\.json, .*, a \.gguf file, or a hub id"):
        build(stream, CausalLMConfig(model=str(tmp_path / "absent")))


def test_only_the_language_tower_of_several_is_adapted(stream: Stream, tmp_path: Path) -> None:
    """Gemma 3's class holds a vision tower too, whose layers come first and have projections of the same names."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": 710, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vision = {"image_size": 28, "patch_size": 14, "attention_dropout": 0.1}
    config = Gemma3Config(text_config={**shape, **text}, vision_config={**shape, **vision}, mm_tokens_per_image=4)
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    for file in MINI_LM.glob("tokenizer*.json"):
        shutil.copy(file, tmp_path)
    learner = build(stream, CausalLMConfig(model=str(tmp_path), max_prompt_tokens=64, max_answer_tokens=16))
    assert len(learner.slots) == 2 * 7
    assert all(".language_model.layers." in path for path in learner.module_paths().values())
    assert learner.network.config.vision_config.attention_dropout == 0.0
    assert placement_map(str(tmp_path))[0] == ("q", "layers 0-1 self_attn.q_proj", "32 x 32")
    adapt(learner)
    learner.forward(batch_of(learner, [0, 1, 2])).loss.backward()  # type: ignore[no-untyped-call]
    assert all(slot.branch("task").b.grad is not None for slot in learner.slots.values())
    assert learner.evaluate("validation", [1])[0].texts
