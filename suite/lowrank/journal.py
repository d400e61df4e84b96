"""What training has added to the frozen weights so far, as factors: for checkpoints, sizes of updates and export."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from suite.lowrank.layer import Factors, Slot, stacked
from suite.lowrank.rank import inner_product, update_size


class Journal:
    """Factors added to each slot, task by task and in order, kept on the CPU.

    The weight after k tasks is W_0 plus the entries in order; applying them again repeats the same additions bit for bit.

    The size of the whole shift S is carried along: ||S + D||^2 = ||S||^2 + 2 <S, D> + ||D||^2 asks for one product of every earlier
    task's factors with the new ones, so that a task costs at most in proportion to the tasks before it.
    """

    def __init__(self, slots: dict[str, Slot]) -> None:
        self.slots = slots
        self.tasks: list[dict[str, list[Factors]]] = []
        self._live_before: dict[str, Factors] = {}
        self._sizes: dict[str, _Size] = {}

    def add(self, added: Mapping[str, Sequence[Factors]]) -> None:
        """Note what the finished task added (the weights already hold it), laid out as it is read back, since products round by layout."""
        self.tasks.append({name: [_kept(factors) for factors in found] for name, found in added.items()})

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
        return {name: self._cumulative_norm(name, live.get(name)) for name in sorted(names - self._without_norm())}

    def _cumulative_norm(self, name: str, live: Factors | None) -> float:
        size = self._sizes.setdefault(name, _Size())
        for task in self.tasks[size.tasks :]:
            if found := task.get(name):
                size.include(found[0] if len(found) == 1 else stacked(found))
            size.tasks += 1
        return math.sqrt(max(0.0, size.square if live is None else size.with_one_more(live)))

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


class _Size:
    """||S||_F^2 of the sum S of some tasks' updates of one slot.

    Attributes:
        tasks: of the journal that are in it.
        parts: the update of each of them that touched the slot.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self.square = 0.0
        self.parts: list[Factors] = []

    def include(self, update: Factors) -> None:
        self.square = self.with_one_more(update)
        self.parts.append(update)

    def with_one_more(self, update: Factors) -> float:
        """The square with ``update`` added."""
        return self.square + 2.0 * sum(inner_product(part, update) for part in self.parts) + update_size([update]) ** 2


def _kept(factors: Factors) -> Factors:
    return Factors(factors.a.detach().cpu().contiguous(), factors.b.detach().cpu().contiguous())


def frobenius_norm(parts: list[Factors]) -> float:
    """||sum b a||_F from the factors alone, without forming the (out, in) product."""
    if not parts:
        return 0.0
    return update_size([stacked(parts)])
