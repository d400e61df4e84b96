"""What training has added to the frozen weights so far, as factors: for checkpoints, sizes of updates and export."""

from __future__ import annotations

import torch

from suite.lowrank.layer import Factors, Slot
from suite.lowrank.rank import update_size


class Journal:
    """Factors merged into each slot, task by task, kept on the CPU.

    The weight after k tasks is W_0 plus the entries in order; replaying them repeats the same additions bit for bit.
    """

    def __init__(self, slots: dict[str, Slot]) -> None:
        self.slots = slots
        self.tasks: list[dict[str, Factors]] = []
        self._live_before: dict[str, Factors] = {}

    def add(self, merged: dict[str, Factors]) -> None:
        """Note what the finished task merged (the weights already hold it)."""
        self.tasks.append({name: Factors(f.a.detach().cpu(), f.b.detach().cpu()) for name, f in merged.items()})

    def replay(self, merged: dict[str, Factors]) -> None:
        """Add a stored task's factors to the weights again, then note them."""
        for name, factors in merged.items():
            self.slots[name].add_to_weight(factors)
        self.add(merged)

    def update_norms(self) -> dict[str, float]:
        """Frobenius norm per slot of what the last noted task changed: merged factors plus the move of live branches.

        Slots with a branch that depends on the input are left out: their update is no matrix and has no norm.
        """
        live, without = self._live(), self._without_norm()
        norms = {}
        for name in {**self.tasks[-1], **live}:
            if name in without:
                continue
            before = self._live_before.get(name)
            parts = [self.tasks[-1].get(name), live.get(name), Factors(before.a, -before.b) if before else None]
            norms[name] = frobenius_norm([part for part in parts if part is not None])
        self._live_before = live
        return norms

    def cumulative_norms(self) -> dict[str, float]:
        """Frobenius norm per slot of the whole shift since the pretrained weights; without slots that depend on the input."""
        live = self._live()
        names = {name for task in self.tasks for name in task} | set(live)
        return {name: frobenius_norm(self.shift(name, live)) for name in sorted(names - self._without_norm())}

    def shift(self, name: str, live: dict[str, Factors] | None = None) -> list[Factors]:
        """Every factor pair that separates a slot from its pretrained weight."""
        live = self._live() if live is None else live
        parts = [task[name] for task in self.tasks if name in task]
        return [*parts, live[name]] if name in live else parts

    def remember_live(self) -> None:
        """Take the live branches as they are for the state before the next task (after a resume)."""
        self._live_before = self._live()

    def _without_norm(self) -> set[str]:
        return {name for name, slot in self.slots.items() if any(slot.branch(key).coefficient is not None for key in slot.branches)}

    def _live(self) -> dict[str, Factors]:
        live = {}
        for name, slot in self.slots.items():
            factors = [found for key in slot.branches if (found := slot.branch(key).factors()) is not None]
            if factors:
                a, b = torch.cat([f.a for f in factors]).cpu(), torch.cat([f.b for f in factors], dim=1).cpu()
                live[name] = Factors(a, b)
        return live


def frobenius_norm(parts: list[Factors]) -> float:
    """||sum b a||_F from the factors alone, without forming the (out, in) product."""
    if not parts:
        return 0.0
    return update_size([(torch.cat([part.a for part in parts]), torch.cat([part.b for part in parts], dim=1))])
