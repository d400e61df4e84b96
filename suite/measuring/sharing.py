"""What runs that begin alike save each other, and what looking for such runs costs where there is none."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from suite.config import RunConfig, validate
from suite.hardware import hardware
from suite.runs.beginnings import Beginnings, beginning_names
from suite.runs.costs import run_costs
from suite.runs.provenance import versions
from suite.runs.record import Record
from suite.runs.store import RunStore
from trainables.device import choose_device
from trainables.run import RunContext, execute

ORDERS = (
    ("shapes", "faces", "digits"),
    ("shapes", "faces", "arrows"),
    ("shapes", "digits", "faces"),
    ("shapes", "digits", "arrows"),
)
LAST_RATES = (1e-4, 3e-4, 1e-3, 3e-3)  # learning rates of the third task
LOOKS = 25


@dataclass(frozen=True)
class Saved:
    """A sweep of runs with equal beginnings, without and with sharing, one run after the other.

    Attributes:
        training: seconds of training of all runs without sharing, and those spent with it.
        differing: runs whose matrices, outcomes or update norms are not the same with and without.
        spare_bytes: of the states that are kept for other runs.
        look_ms: milliseconds per run of naming its beginnings, finding that nobody has them, and noting its own; median.
        alone_seconds: wall seconds of a run without sharing; median.
    """

    runs: int
    training: tuple[float, float]
    differing: int
    spare_bytes: int
    look_ms: float
    alone_seconds: float

    @property
    def share(self) -> float:
        """Of the training seconds, those that were not spent again."""
        return 1 - self.training[1] / self.training[0]

    @property
    def slower(self) -> float:
        """Of a run that shares nothing, by what looking costs."""
        return self.look_ms / 1000 / self.alone_seconds


def sharing_sweep(steps: int, seeds: int = 4) -> list[RunConfig]:
    """16 runs of three tasks for each seed: orders with equal beginnings, budgets that differ in the last task."""
    return [
        validate(
            RunConfig,
            {
                "benchmark": {"name": "mini-mtil", "domains": list(order), "shots": 4, "limit": 16},
                "method": {"name": "lora", "rank": 4},
                "training": {"steps": steps, "batch_size": 8, "per_task": {order[-1]: {"lr": rate}}},
                "seed": seed,
            },
            where="perf sharing",
        )
        for seed, order, rate in product(range(seeds), ORDERS, LAST_RATES)
    ]


def measure_sharing(configs: Sequence[RunConfig], on_run: Callable[[int], None]) -> Saved:
    """Learn ``configs`` twice, in fresh folders; ``on_run`` is told after each run."""
    with tempfile.TemporaryDirectory(prefix="codyra-perf-") as scratch:
        alone, shared = (
            RunContext(Path(scratch) / name, Path(scratch), "cpu", sharing=name == "shared") for name in ("alone", "shared")
        )
        apart, together = _learned(configs, alone, on_run), _learned(configs, shared, on_run)
        store = RunStore(shared.out)
        return Saved(
            len(configs),
            (_training(apart), _training(together)),
            sum(_differs(one, other, alone, shared) for one, other in zip(apart, together, strict=True)),
            sum(store.spare_state_bytes(record.run_id) for record in together),
            median(_look(configs[0], alone, Path(scratch) / f"look-{turn}") for turn in range(LOOKS)) * 1000,
            median(run_costs(record.results).wall_seconds for record in apart),
        )


def _learned(configs: Sequence[RunConfig], run_context: RunContext, on_run: Callable[[int], None]) -> list[Record]:
    found = []
    for number, config in enumerate(configs):
        found.append(execute(config, run_context))
        on_run(number)
    return found


def _training(records: Sequence[Record]) -> float:
    """Seconds of training that these runs themselves spent."""
    own = (result for record in records for result in record.results if result.taken_from is None)
    return sum(result.costs.train_seconds for result in own)


def _differs(one: Record, other: Record, alone: RunContext, shared: RunContext) -> bool:
    first, second = (RunStore(place.out).find(one.run_id).outcomes() for place in (alone, shared))
    numbers = [[(r.update_norm, r.cumulative_norm, r.train_loss) for r in record.results] for record in (one, other)]
    same = first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)
    return not same or numbers[0] != numbers[1] or (one.validation, one.test) != (other.validation, other.test)


def _look(config: RunConfig, run_context: RunContext, out: Path) -> float:
    """Seconds of all that a run does for sharing where nobody shares, its data and network at hand."""
    stream = config.benchmark.open(run_context.data_root)
    begun = time.perf_counter()
    device = choose_device("cpu")
    machine: dict[str, Any] = {**hardware(device), "device": device.type, "versions": versions()}
    index = Beginnings(out)
    for name in beginning_names(config, stream, machine):
        if index.known(name) is None:
            with index.turn(name, lambda owner: None) as turn:
                turn.note("0" * 16)
    return time.perf_counter() - begun
