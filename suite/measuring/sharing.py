"""What runs that begin alike save each other, and what looking for such runs costs where there is none."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from suite.config import RunConfig, validate
from suite.runs.record import Record
from suite.runs.store import RunStore
from trainables.run import RunContext, execute

ORDERS = (
    ("shapes", "faces", "digits"),
    ("shapes", "faces", "arrows"),
    ("shapes", "digits", "faces"),
    ("shapes", "digits", "arrows"),
)
LAST_RATES = (1e-4, 3e-4, 1e-3, 3e-3)  # learning rates of the third task
FIRST_UNSHARED = 1000  # seed of the runs that share nothing


@dataclass(frozen=True)
class Saved:
    """A sweep of runs with equal beginnings, without and with sharing, one run after the other.

    Attributes:
        training: seconds of training of all runs without sharing, and those spent with it.
        differing: runs whose matrices, outcomes or update norms are not the same with and without.
        spare_bytes: of the states that are kept for other runs.
        overheads: of pairs of runs that share nothing, with and without sharing, in turns: processor seconds with over those without,
            minus one.
    """

    runs: int
    training: tuple[float, float]
    differing: int
    spare_bytes: int
    overheads: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the training seconds, those that were not spent again."""
        return 1 - self.training[1] / self.training[0]

    @property
    def slower(self) -> float:
        """Of a run that shares nothing, by what sharing costs; median of the pairs."""
        return median(self.overheads)


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


def measure_sharing(configs: Sequence[RunConfig], pairs: int, on_run: Callable[[], None]) -> Saved:
    """Learn ``configs`` twice, in fresh folders, then ``pairs`` runs that begin unlike each other; ``on_run`` is told after each run."""
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
            tuple(_overhead(configs[0], pair, Path(scratch) / "pairs", on_run) for pair in range(pairs)),
        )


def _learned(configs: Sequence[RunConfig], run_context: RunContext, on_run: Callable[[], None]) -> list[Record]:
    found = []
    for config in configs:
        found.append(execute(config, run_context))
        on_run()
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


def _overhead(config: RunConfig, pair: int, folder: Path, on_run: Callable[[], None]) -> float:
    """Of a run with a seed of its own, which nobody shares; every other pair begins with sharing."""
    seconds = {}
    one = config.model_copy(update={"seed": FIRST_UNSHARED + pair})
    for sharing in (False, True) if pair % 2 else (True, False):
        run_context = RunContext(folder / str(sharing), folder, "cpu", sharing=sharing)
        begun = time.process_time()
        execute(one, run_context)
        seconds[sharing] = time.process_time() - begun
        on_run()
    return seconds[True] / seconds[False] - 1
