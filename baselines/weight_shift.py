"""How far a task has moved the network, so that the move can be averaged or shortened whatever the method inside did.

Low-rank parts count by their products (a mean of factors is no mean of updates), all other tensors of the optimizer by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from suite.lowrank.layer import Branch, Factors, Slot, stacked
from trainables.method import Method

Shift = dict[str, list[Factors]]  # slot -> updates whose sum it is


def scaled(factors: Factors, amount: float) -> Factors:
    """``amount`` times an update."""
    return Factors(factors.a, factors.b * amount)


def joined(*weighted: tuple[Mapping[str, Sequence[Factors]], float]) -> Shift:
    """The sum of some shifts, each with its weight; what has the weight 0 is left out."""
    total: Shift = {}
    for shift, weight in weighted:
        for name, found in shift.items() if weight else ():
            total.setdefault(name, []).extend(scaled(one, weight) for one in found)
    return total


def live_shift(slots: Iterable[Slot]) -> Shift:
    """What the parts that stand on the slots add to their weights; copies."""
    found: Shift = {}
    for slot in slots:
        factors = [one for key in slot.parts if (one := slot.part(key).factors()) is not None]
        if factors:
            found[slot.name] = [stacked(factors)]
    return found


class TaskMove:
    """The move of ``method`` in one task, from before its ``begin_task`` on.

    Attributes:
        before: live parts as the task before left them.
        tensors: what the optimizer holds of the network's and the modules' own beside factors with a product; ``tensors_before`` are
            their values as the steps began.
    """

    def __init__(self, method: Method, network: nn.Module) -> None:
        self.method = method
        self.network = network
        self.before = live_shift(method.slots)
        self.tensors: list[nn.Parameter] = []
        self.tensors_before: list[Tensor] = []

    def begun(self) -> None:
        """To be called after the method's ``begin_task``."""
        self.tensors = without_product(self.method, self.network)
        self.tensors_before = [p.detach().clone() for p in self.tensors]

    def so_far(self) -> Shift:
        """The move up to now, without ``tensors``."""
        return joined((self.method.added, 1.0), (live_shift(self.method.slots), 1.0), (self.before, -1.0))

    @torch.no_grad()
    def write(self, values: Iterable[Tensor]) -> None:
        """Other values for ``tensors``."""
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.copy_(value)

    def end(self, end_task: Callable[[], None]) -> tuple[Shift, Shift]:
        """Run ``end_task`` and take what it adds to weights back, bit for bit: they are as they were, without a trace in ``added``.

        Returns:
            The whole move as it would have been, and what of it is in the network now: earlier additions and live parts.
        """
        weights = {id(slot.weight): slot.weight for slot in self.method.slots}
        kept = {key: weight.detach().clone() for key, weight in weights.items()}
        earlier = {name: len(found) for name, found in self.method.added.items()}
        end_task()
        whole = self.so_far()
        with torch.no_grad():
            for key, weight in weights.items():
                weight.copy_(kept[key])
        for name in list(self.method.added):
            del self.method.added[name][earlier.get(name, 0) :]
            if not self.method.added[name]:
                del self.method.added[name]
        return whole, self.so_far()


def without_product(method: Method, network: nn.Module) -> list[nn.Parameter]:
    """What the optimizer holds of the network's and the modules' own beside the factors of parts that are an update of a weight."""
    parts = [slot.part(key) for slot in method.slots for key in slot.parts]
    counted = {id(p) for part in parts if part.factors() is not None for p in part.parameters()}
    modules = (network, *method.modules().values())
    own = {id(p) for module in modules for p in module.parameters()} - counted
    return [p for group in method.parameter_groups() for p in group.parameters if id(p) in own]


class Anchor:
    """The network as a task begins, for a term that holds it there; to be made after the method's ``begin_task``.

    Attributes:
        branches: of low-rank parts that learn, each with its update as it is now; None where that is zero.
        tensors: what else learns, each with its value now.
    """

    def __init__(self, method: Method, network: nn.Module) -> None:
        parts = [slot.part(key) for slot in method.slots for key in slot.parts]
        learning = [part for part in parts if isinstance(part, Branch) and any(p.requires_grad for p in part.parameters())]
        self.branches: list[tuple[Branch, Factors | None]] = []
        for branch in learning:
            now = branch.factors()
            if now is not None:
                self.branches.append((branch, scaled(now, -1.0) if bool(now.b.any()) else None))
        self.tensors = [(tensor, tensor.detach().clone()) for tensor in without_product(method, network)]

    def squared_move(self) -> Tensor:
        """Sum over all weights of their squared distance to where they were, a scalar with gradients."""
        moves = [(tensor - value).square().sum() for tensor, value in self.tensors]
        for branch, negative in self.branches:
            gate = branch.scale if branch.gate is None else branch.scale * branch.gate
            now = Factors(branch.a, branch.b * gate)
            both = now if negative is None else stacked([now, negative])
            moves.append(((both.b.T @ both.b) * (both.a @ both.a.T)).sum())
        return torch.stack(moves).sum()
