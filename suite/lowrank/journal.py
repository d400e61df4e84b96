"""What training has added to the frozen weights so far, as factors: for checkpoints, sizes of updates and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suite.lowrank.layer import Factors, Slot, stacked
from suite.lowrank.rank import update_size


class Journal:
    """Factors added to each slot, task by task and in order, kept on the CPU.

    The weight after k tasks is W_0 plus the entries in order; applying them again repeats the same additions bit for bit.
    """

    def __init__(self, slots: dict[str, Slot]) -> None:
        self.slots = slots
        self.tasks: list[dict[str, list[Factors]]] = []
        self._live_before: dict[str, Factors] = {}

    def add(self, added: Mapping[str, Sequence[Factors]]) -> None:
        """Note what the finished task added (the weights already hold it)."""
        self.tasks.append(
            {name: [Factors(f.a.detach().cpu(), f.b.detach().cpu()) for f in found] for name, found in added.items()}
        )

    def apply(self, added: Mapping[str, Sequence[Factors]]) -> None:
        """Add a stored task's factors to the weights again, then note them."""
        for name, found in added.items():
            for factors in found:
                self.slots[name].add_to_weight(factors)
        self.add(added)

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
            parts = [*self.tasks[-1].get(name, ()), *([live[name]] if name in live else ())]
            norms[name] = frobenius_norm([*parts, Factors(before.a, -before.b)] if before else parts)
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
        parts = [factors for task in self.tasks for factors in task.get(name, ())]
        return [*parts, live[name]] if name in live else parts

    def remember_live(self) -> None:
        """Take the live branches as they are for the state before the next task (after a resume)."""
        self._live_before = self._live()

    def _without_norm(self) -> set[str]:
        return {name for name, slot in self.slots.items() if any(slot.part(key).factors() is None for key in slot.parts)}

    def _live(self) -> dict[str, Factors]:
        live = {}
        for name, slot in self.slots.items():
            factors = [found for key in slot.parts if (found := slot.part(key).factors()) is not None]
            if factors:
                joined = stacked(factors)
                live[name] = Factors(joined.a.cpu(), joined.b.cpu())
        return live


def frobenius_norm(parts: list[Factors]) -> float:
    """||sum b a||_F from the factors alone, without forming the (out, in) product."""
    if not parts:
        return 0.0
    return update_size([stacked(parts)])
