"""What comes back from a checkpoint: every tensor as trainable as it was, what stands between A and B, nothing that was not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from suite.backbones.learner import Learner
from suite.errors import ConfigError, SuiteError
from suite.lowrank.journal import Journal
from suite.lowrank.layer import Branch, Slot, merged_form
from suite.randomness import RandomStreams
from suite.runs.record import TaskCosts, TaskResult
from trainables.checkpoint import Checkpoints
from trainables.method import Method, TaskContext

COSTS = TaskCosts(
    steps=0, wall_seconds=0, train_seconds=0, evaluate_seconds=0, device_seconds=None, peak_bytes=0, device_peak_bytes=None,
    trainable_parameters=0, carried_bytes=0,
)  # fmt: skip


class Router(nn.Module):
    """A middle that learns: one multiplier per rank-1 part, from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 4))

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        return low * torch.sigmoid(x @ self.weight.T)


class Routed(Method):
    """Puts a fresh router onto its branch when it is restored, unless it forgets to."""

    def __init__(self, slots: Mapping[str, Slot], *, forgets: bool = False) -> None:
        super().__init__()
        self.slots, self.forgets = slots, forgets

    def attach(self, learner: Learner, random: RandomStreams) -> None: ...

    def end_task(self, context: TaskContext) -> None: ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        if "routed" in self.slots and not self.forgets:
            self.slots["routed"].branch("task").middle = Router()


def slots() -> dict[str, Slot]:
    return {name: Slot(name, nn.Parameter(torch.ones(3, 4), requires_grad=False)) for name in ("plain", "routed")}


def branch(seed: int) -> Branch:
    draws = torch.Generator().manual_seed(seed)
    return Branch(torch.randn(2, 4, generator=draws), torch.randn(3, 2, generator=draws), torch.ones(2))


def saved(folder: Path) -> tuple[dict[str, Slot], TaskResult]:
    """A frozen A with a trained B and gate on one slot, a learned router on the other."""
    before = slots()
    before["plain"].parts["task"], before["routed"].parts["task"] = branch(0), branch(1)
    before["plain"].branch("task").a.requires_grad_(False)
    router = Router()
    nn.init.normal_(router.weight, generator=torch.Generator().manual_seed(2))
    before["routed"].branch("task").middle = router
    journal = Journal(before)
    journal.add({})
    digests = Checkpoints(folder, "r").save(1, journal, Routed(before), RandomStreams(0), {})
    return before, TaskResult(row=1, task="t", costs=COSTS, digests=digests)


def test_every_tensor_is_as_trainable_as_it_was(tmp_path: Path) -> None:
    before, result = saved(tmp_path)
    after = slots()
    after["plain"].parts["gone"] = branch(3)  # of a method that begins with branches
    Checkpoints(tmp_path, "r").load([result], Journal(after), Routed(after), RandomStreams(0))
    for name, slot in before.items():
        assert list(after[name].parts) == ["task"]
        was, found = (dict(owner.branch("task").named_parameters()) for owner in (slot, after[name]))
        assert {part: value.requires_grad for part, value in found.items()} == {
            part: value.requires_grad for part, value in was.items()
        }
        assert all(torch.equal(found[part], value) for part, value in was.items())
    assert [part for part, value in after["plain"].branch("task").named_parameters() if value.requires_grad] == ["b", "gate"]


def test_a_middle_comes_back_or_is_missed(tmp_path: Path) -> None:
    before, result = saved(tmp_path)
    after, x = slots(), torch.randn(5, 4, generator=torch.Generator().manual_seed(4))
    Checkpoints(tmp_path, "r").load([result], Journal(after), Routed(after), RandomStreams(0))
    assert torch.equal(after["routed"](torch.zeros(5, 3), x), before["routed"](torch.zeros(5, 3), x))
    forgetful = slots()
    with pytest.raises(SuiteError, match="branch 'task' of routed had a middle"):
        Checkpoints(tmp_path, "r").load([result], Journal(forgetful), Routed(forgetful, forgets=True), RandomStreams(0))


def test_a_slot_that_depends_on_the_input_has_no_norm_and_no_merged_form(tmp_path: Path) -> None:
    before, _ = saved(tmp_path)
    journal = Journal(before)
    journal.add({})
    assert set(journal.update_norms()) == set(journal.cumulative_norms()) == {"plain"}
    assert journal.update_norms()["plain"] == pytest.approx(0.0, abs=1e-9)  # nothing has moved since
    with pytest.raises(ConfigError, match="'task' of routed depends on the input"):
        merged_form(before["routed"], "task")
