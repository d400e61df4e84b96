"""The loss without logits is torch's cross-entropy: values, gradients, memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.backbones import causal_learner, lm_network
from suite.backbones.answer_loss import IGNORED, answer_loss
from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.text_shapes import TextShapes
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.lowrank.layer import fresh_branch


@given(
    rows=st.integers(1, 12),
    width=st.integers(1, 6),
    vocabulary=st.integers(2, 9),
    at_once=st.integers(1, 40),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_values_and_gradients_are_torchs(rows: int, width: int, vocabulary: int, at_once: int, share: float, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocabulary, width, generator=g)
    hidden = torch.randn(rows, width, generator=g, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,), generator=g)
    targets[torch.rand(rows, generator=g) < share] = IGNORED
    if bool((targets == IGNORED).all()):
        targets[0] = 0
    mine = answer_loss(hidden, weight, targets, at_once=at_once)
    theirs = F.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORED)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)
    (a,), (b,) = torch.autograd.grad(3 * mine, hidden), torch.autograd.grad(3 * theirs, hidden)
    assert torch.allclose(a, b, atol=1e-5)


def test_logits_are_never_held_whole() -> None:
    """64 x 4096 logits in pieces of 4 rows: what autograd keeps for a moment is a piece, for good it is the hidden states' own size."""
    hidden, weight = torch.randn(64, 8, requires_grad=True), torch.randn(4096, 8)
    kept: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        answer_loss(hidden, weight, torch.randint(4096, (64,)), at_once=4 * 4096)
    assert max(kept) == 4 * 4096
    assert kept[-1] == hidden.numel()


@pytest.fixture(scope="module")
def stream() -> Stream:
    return MiniTraceConfig(tasks=("Py150", "FOMC")).build(Path())


def loss_and_gradients(learner: CausalLearner, rows: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
    batch = learner.batch(torch.zeros_like(rows), rows, torch.Generator())
    output = learner.forward(batch)
    learned = [parameter for slot in learner.slots.values() for parameter in slot.parts.parameters()]
    return output.loss.item(), list(torch.autograd.grad(output.loss, learned))


def adapted(stream: Stream) -> CausalLearner:
    learner = MiniLMConfig().build(stream, torch.device("cpu"))
    assert isinstance(learner, CausalLearner)
    g = torch.Generator().manual_seed(0)
    for slot in learner.slots.values():
        slot.parts["task"] = fresh_branch(slot, 2, g, gate=torch.ones(2))
        slot.branch("task").b.data.normal_(generator=g)
    return learner


@pytest.mark.parametrize("few_shapes", [False, True])
def test_a_learner_gets_the_same_step_with_and_without_logits(
    stream: Stream, few_shapes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the few shapes that a GPU is given, whose padding must change nothing."""
    rows = torch.arange(6)
    plain = loss_and_gradients(adapted(stream), rows)
    monkeypatch.setattr(lm_network, "LOGITS_AT_ONCE", 0)
    monkeypatch.setattr(causal_learner, "answer_loss", lambda *given: answer_loss(*given, at_once=2000))
    learner = adapted(stream)
    learner.shapes = TextShapes(learner.texts.training) if few_shapes else None
    apart = loss_and_gradients(learner, rows)
    assert learner.head.can_do_apart(1)
    assert apart[0] == pytest.approx(plain[0], abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(apart[1], plain[1], strict=True))


def test_a_projection_that_is_more_than_a_product_keeps_its_logits(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_network, "LOGITS_AT_ONCE", 0)
    learner = adapted(stream)
    learner.network.config.final_logit_softcapping = 30.0
    assert not learner.head.can_do_apart(10**6)
    learner.network.config.final_logit_softcapping = None
    assert learner.head.can_do_apart(10**6)
    learner.head.weight.requires_grad_(True)
    assert not learner.head.can_do_apart(10**6)
