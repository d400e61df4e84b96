"""What every method costs beside LoRA: its step, its whole stream, what it carries, and what tables say of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from suite.errors import SuiteError
from suite.measuring.workload import Workload
from suite.registry import METHODS

PARENT = "lora"


@dataclass(frozen=True)
class MethodCost:
    """One method on the workload's stream; ratios are to LoRA's median in the same rounds.

    Attributes:
        step_ratio: of one optimizer step of the last task, where every term of a method is at work; None for a method without steps.
        stream_ratio: of the whole stream: statistics, training, merging and evaluation.
        carried_bytes: what is kept for later tasks after the last one.
        traits: see ``Method.traits``.
        refused: why the method cannot learn this stream; the rest is empty then.
    """

    method: str
    step_ratio: float | None = None
    stream_ratio: float | None = None
    carried_bytes: int = 0
    traits: dict[str, bool | str] | None = None
    refused: str = ""


@dataclass
class _Taken:
    step: list[float]
    stream: list[float]
    carried: int
    traits: dict[str, bool | str]


def measure_methods(
    work: Workload, rounds: int, names: Sequence[str] = (), on_done: Callable[[int], None] = lambda count: None
) -> list[MethodCost]:
    """Every method ``rounds`` times in turn on the workload's stream; ``on_done`` is told how many are finished.

    Args:
        names: of the methods to measure beside LoRA; none = all that are registered.
    """
    chosen = [PARENT, *sorted(set(names or METHODS) - {PARENT})]
    taken: dict[str, _Taken] = {}
    refused: dict[str, str] = {}
    for turn in range(rounds):
        for place, name in enumerate(chosen):
            try:
                _learn(replace(work, method=name), taken) if name not in refused else None
            except SuiteError as error:
                refused[name] = str(error)
            on_done(turn * len(chosen) + place + 1)
    if PARENT in refused:
        raise SuiteError(refused[PARENT])
    return [
        MethodCost(name, refused=refused[name]) if name in refused else _cost(name, taken[name], taken[PARENT])
        for name in chosen
    ]


def _learn(work: Workload, taken: dict[str, _Taken]) -> None:
    stream = work.stream()
    trainer = work.trainer(stream, plain=False)
    begun = time.perf_counter()
    costs = [report.result.costs for report in trainer.rows(0)]
    if work.device.type == "cuda":
        torch.cuda.synchronize(work.device)
    own = taken.setdefault(work.method, _Taken([], [], 0, trainer.method.traits()))
    own.stream.append(time.perf_counter() - begun)
    own.carried = costs[-1].carried_bytes
    if costs[-1].steps:
        own.step.append(costs[-1].train_seconds / costs[-1].steps)


def _cost(name: str, own: _Taken, parent: _Taken) -> MethodCost:
    step = median(own.step) / median(parent.step) if own.step else None
    return MethodCost(name, step, median(own.stream) / median(parent.stream), own.carried, own.traits)
