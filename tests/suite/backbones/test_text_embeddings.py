"""Prompts are embedded again exactly when the text encoder has changed; untouched embeddings are shared between runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suite.backbones.clip import MiniClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.text_embeddings import TextEmbeddings
from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.lowrank.adapted_linear import AdaptedLinear
from suite.lowrank.layer import Factors, Slot, fresh_branch
from suite.runs.record import Record
from trainables.run import RunContext, execute

TOKENS = torch.tensor([[1, 5, 2], [1, 2, 0]])


class Counted:
    """Embeddings that differ from call to call, so that an old one is recognised."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return torch.full((2, 3), float(self.calls))


def encoder(tmp_path: Path | None = None) -> tuple[TextEmbeddings, Slot]:
    linear = nn.Linear(4, 3, bias=False).requires_grad_(False)
    adapted = AdaptedLinear(linear, "text.0.q")
    made = TextEmbeddings(adapted.modules, torch.device("cpu"))
    made.shelf = tmp_path
    return made, adapted.slot


def change(slot: Slot, how: str) -> None:
    if how == "merge":
        slot.add_to_weight(Factors(torch.ones(1, 4), torch.ones(3, 1)))
    elif how == "step":
        with torch.no_grad():
            slot.branch("task").b += 1
    elif how == "branch":
        slot.parts["more"] = fresh_branch(slot, 1, torch.Generator())
    elif how == "switch":
        slot.branch("task").enabled = False


@pytest.mark.parametrize("how", ["merge", "step", "branch", "switch"])
def test_every_change_of_the_encoder_is_noticed(how: str) -> None:
    embeddings, slot = encoder()
    slot.parts["task"] = fresh_branch(slot, 1, torch.Generator())
    compute = Counted()
    with torch.no_grad():
        first = embeddings.get("classes", TOKENS, compute)
        assert embeddings.get("classes", TOKENS, compute) is first
        change(slot, how)
        assert float(embeddings.get("classes", TOKENS, compute)[0, 0]) == compute.calls == 2


class Prompt(nn.Module):
    """A module that a method puts into the text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(96))
        self.strength = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x + self.strength * self.offset


CHANGES: dict[str, Callable[[Any], object]] = {
    "token embedding": lambda network: network.token_embedding.weight.mul_(1.5),
    "projection": lambda network: network.text_projection.mul_(torch.linspace(0.5, 1.5, 64)),
    "norm": lambda network: network.ln_final.bias.add_(torch.linspace(0, 1, 96)),
    "storage": lambda network: setattr(network.ln_final.bias, "data", torch.linspace(0, 1, 96)),
    "module": lambda network: setattr(network, "ln_final", nn.Sequential(network.ln_final, nn.GELU())),
    "hook": lambda network: network.ln_final.register_forward_hook(
        lambda module, inputs, output: output * torch.linspace(0, 1, 96)
    ),
    "prompt": lambda network: network.transformer.resblocks[0].ln_1[1].offset.add_(torch.linspace(0, 1, 96)),
    "setting": lambda network: setattr(network.transformer.resblocks[0].ln_1[1], "strength", 2.0),
}


@pytest.mark.parametrize("how", CHANGES)
def test_whatever_changes_in_the_text_encoder_changes_the_embeddings(how: str, learner: ClipLearner) -> None:
    block: Any = learner.network.transformer.resblocks[0]  # type: ignore[union-attr]
    block.ln_1 = nn.Sequential(block.ln_1, Prompt())
    with torch.no_grad():
        block.ln_1[1].offset[0] = 1.0
        before = learner._class_embeddings()
        assert learner._class_embeddings() is before
        CHANGES[how](learner.network)
        after = learner._class_embeddings()
        assert not torch.allclose(after, before)
        assert torch.equal(after, learner._embed_classes())


def test_a_part_that_learns_in_the_text_encoder_gets_gradients(learner: ClipLearner) -> None:
    block: Any = learner.network.transformer.resblocks[0]  # type: ignore[union-attr]
    block.ln_1 = nn.Sequential(block.ln_1, Prompt())
    rows = torch.arange(4)
    batch = learner.batch(torch.zeros_like(rows), rows, torch.Generator())
    learner.forward(batch).loss.backward()
    assert float(block.ln_1[1].offset.grad.abs().max()) > 0


def test_a_branch_in_the_place_of_another_is_another() -> None:
    embeddings, slot = encoder()
    slot.parts["task"] = fresh_branch(slot, 1, torch.Generator())
    compute = Counted()
    with torch.no_grad():
        embeddings.get("classes", TOKENS, compute)
        del slot.parts["task"]
        slot.parts["task"] = fresh_branch(slot, 1, torch.Generator())
        embeddings.get("classes", TOKENS, compute)
    assert compute.calls == 2


def test_what_computes_with_anything_is_never_remembered() -> None:
    embeddings, slot = encoder()
    slot.parts["task"] = fresh_branch(slot, 1, torch.Generator())
    slot.branch("task").middle = lambda x, low: torch.ones(())
    compute = Counted()
    with torch.no_grad():
        embeddings.get("classes", TOKENS, compute)
        embeddings.get("classes", TOKENS, compute)
    assert compute.calls == 2


def test_names_and_precisions_have_their_own() -> None:
    embeddings, _ = encoder()
    compute = Counted()
    embeddings.get("a", TOKENS, compute)
    embeddings.get("b", TOKENS, compute)
    with torch.autocast("cpu", torch.bfloat16):
        embeddings.get("a", TOKENS, compute)
        embeddings.get("a", TOKENS, compute)
    assert compute.calls == 3


def test_a_task_forgets_what_a_changed_encoder_said() -> None:
    embeddings, slot = encoder()
    compute = Counted()
    embeddings.get("classes", TOKENS, compute)
    embeddings.begin_task()
    embeddings.get("classes", TOKENS, compute)
    assert compute.calls == 1
    change(slot, "merge")
    embeddings.get("classes", TOKENS, compute)
    embeddings.begin_task()
    embeddings.get("classes", TOKENS, compute)
    assert compute.calls == 3


def test_another_run_finds_what_the_untouched_encoder_said(tmp_path: Path) -> None:
    compute, again = Counted(), Counted()
    found = [encoder(tmp_path)[0].get("classes", TOKENS, call) for call in (compute, again)]
    assert torch.equal(*found)
    assert (compute.calls, again.calls) == (1, 0)
    encoder(tmp_path)[0].get("classes", TOKENS + 1, again)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(tmp_path)[0].get("classes", TOKENS, again)
    assert again.calls == 2


def test_a_changed_encoder_shares_nothing(tmp_path: Path) -> None:
    embeddings, slot = encoder(tmp_path)
    change(slot, "merge")
    embeddings.get("classes", TOKENS, Counted())
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    encoder(tmp_path)[0].get("classes", TOKENS, Counted())
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    compute = Counted()
    encoder(tmp_path)[0].get("classes", TOKENS, compute)
    assert compute.calls == 1
    assert path.read_bytes() == whole


@pytest.fixture
def texts_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompts of every call of a CLIP learner's text encoder."""
    seen: list[int] = []
    encode = ClipLearner.encode_texts

    def counted(self: ClipLearner, tokens: Tensor) -> Tensor:
        seen.append(len(tokens))
        return encode(self, tokens)

    monkeypatch.setattr(ClipLearner, "encode_texts", counted)
    return seen


def numbers(record: Record) -> Any:
    return record.validation, record.test, [result.train_loss for result in record.results]


def test_a_run_that_adapts_vision_alone_embeds_prompts_once_and_the_next_not_at_all(
    texts_encoded: list[int], make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path
) -> None:
    config = make_config("lora", placement="vision:qkvo", seed=1)
    alone = execute(config, replace(run_context, out=tmp_path / "alone"))
    assert len(texts_encoded) == 1 + len(alone.tasks)  # classes of the evaluation, then of each task's training
    texts_encoded.clear()
    execute(make_config("lora", placement="vision:qkvo", seed=0), run_context)
    texts_encoded.clear()
    second = execute(config, run_context)
    assert texts_encoded == []
    assert numbers(second) == numbers(alone)


def test_memories_of_many_tasks_share_what_each_task_said(
    texts_encoded: list[int], make_config: Callable[..., RunConfig], run_context: RunContext
) -> None:
    """Batches of a memory involve any subset of the tasks: one entry a task, not one a subset."""
    record = execute(make_config("replay", inner={"placement": "vision:qkvo"}, memory_size=9), run_context)
    assert len(texts_encoded) == 1 + len(record.tasks)


def test_a_run_that_adapts_text_embeds_prompts_after_every_task(
    texts_encoded: list[int], make_config: Callable[..., RunConfig], run_context: RunContext
) -> None:
    record = execute(make_config("lora", placement="text:qkvo"), run_context)
    of_all_classes = max(texts_encoded)
    assert texts_encoded.count(of_all_classes) == len(record.test)  # row 0 and one a task; steps see their task's classes alone


def test_the_plain_reference_remembers_nothing(mini_stream: Stream, texts_encoded: list[int], tmp_path: Path) -> None:
    learner = MiniClipConfig().build(mini_stream, torch.device("cpu"))
    assert isinstance(learner, ClipLearner)
    learner.embeddings.shelf = tmp_path
    learner.plain = True
    learner.evaluate("test", [0])
    learner.evaluate("test", [0])
    assert len(texts_encoded) == 2
    assert not list(tmp_path.iterdir())
