"""Whole tunings of methods that are known to be equal, through the real table: how often is one said to be better?

Made up are the outcomes, example by example: every example has its difficulty, shared by all runs, and every run moves its chance of being
right a little per task, as another seed does. Trials are chosen by their validation outcomes, settings are judged on seeds of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.leaderboard.comparison import LEVEL
from suite.leaderboard.tuned import JudgedSetting, TunedMethod, TunedTrial, Tuning
from suite.leaderboard.tuned_table import TunedBoard, tuned_boards
from suite.leaderboard.tuned_words import closing
from suite.randomness import numpy_generator
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Cells, Record, TaskCosts, TaskResult

BENCHMARK, METRIC = "made-up", "zscl.last"
TRAINING = {"steps": 8, "epochs": None, "batch_size": 4}
SLACK = 0.015  # of a thousand tunings: 2.2 standard errors of their share
THOUSAND = 1000
VALIDATION = 40  # examples per task that trials are chosen by
COSTS = TaskCosts(
    steps=8, wall_seconds=1.0, train_seconds=1.0, evaluate_seconds=0.0, device_seconds=None, peak_bytes=2**30,
    device_peak_bytes=None, trainable_parameters=100, carried_bytes=0,
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """What is true of the methods of a made-up tuning.

    Attributes:
        levels: method -> chance of a right answer with its default setting.
        gains: method -> what its best setting adds to that; the trials lie evenly between default and best.
        seed_spread: standard deviation of a run's chance per task, over seeds.
    """

    levels: Mapping[str, float]
    gains: Mapping[str, float] = field(default_factory=dict)
    trials: int = 12
    seeds: int = 3
    orders: Sequence[str] = ("I",)
    tasks: int = 5
    examples: int = 100
    seed_spread: float = 0.03


@dataclass(frozen=True)
class Said:
    """Shares of tunings of equal methods in which something was said that is not so.

    Attributes:
        better: some method is better than another, with tuned settings.
        better_by_default: the same of default settings.
        changed: tuning raised or lowered a method.
        optimism: mean optimism of selection in points, over methods.
    """

    tunings: int
    better: float
    better_by_default: float
    changed: float
    optimism: float


def allowed(tunings: int) -> float:
    """Share of so many tunings that may be wrong before the tests are: 5 % and 2.2 standard errors, 6.5 % of a thousand."""
    return LEVEL + SLACK * math.sqrt(THOUSAND / tunings)


def equal_methods(methods: int, seeds: int, orders: int) -> World:
    """Methods of one distribution."""
    levels = {f"method {chr(ord('a') + number)}": 0.5 for number in range(methods)}
    names = [str(number + 1) for number in range(orders)]
    return World(levels, seeds=seeds, orders=names)


def measure_null(world: World, tunings: int) -> Said:
    """Make up tunings, tabulate each as a real one, write its closing sentences, and count what they claim."""
    better, by_default, changed, optimism = [], [], [], []
    for number in range(tunings):
        tuning = made_up_tuning(world, number)
        (board,) = tuned_boards(tuning)
        words = closing(tuning, board)
        better.append("beyond chance behind" in words or "is better than" in words.partition(".")[0])
        by_default.append(_claims(board, "default standing"))
        changed.append("Tuning raised" in words or "Tuning lowered" in words)
        optimism.append(float(board.rows["optimism"].mean()))
        if better[-1] != _claims(board, "standing"):
            raise AssertionError(f"the sentence and the marks of tuning {number} contradict each other: {words}")
    return Said(tunings, *(float(np.mean(found)) for found in (better, by_default, changed, optimism)))


def _claims(board: TunedBoard, column: str) -> bool:
    return bool((board.rows[column] == "behind").any())


def made_up_tuning(world: World, number: int) -> Tuning:
    """A finished tuning of these methods; ``number`` says which of many."""
    draws = numpy_generator("made-up tuning", number)
    difficulty = {
        split: draws.normal(0.0, 0.25, (world.tasks, size))
        for split, size in (("validation", VALIDATION), ("test", world.examples))
    }
    outcomes: dict[str, Mapping[Key, Scores]] = {}
    maker = _Maker(world, draws, difficulty, outcomes)
    methods = [maker.method(name, place) for place, name in enumerate(world.levels)]
    return Tuning(
        f"made up {number}", methods, "two-phase", METRIC, "trials", tuple(range(1, world.seeds + 1)), {BENCHMARK: tuple(world.orders)},
        lambda record: outcomes[record.run_id],
    )  # fmt: skip


@dataclass(frozen=True)
class _Maker:
    """Draws runs; what the test examples said of each goes to ``outcomes``."""

    world: World
    draws: np.random.Generator
    difficulty: Mapping[str, NDArray[np.float64]]
    outcomes: dict[str, Mapping[Key, Scores]]

    def method(self, name: str, place: int) -> TunedMethod:
        world = self.world
        steps = np.arange(1, world.trials + 1) / world.trials
        chances = world.levels[name] + world.gains.get(name, 0.0) * steps
        scores = [float(self._right(chance)["validation"].mean()) * 100 for chance in chances]
        trials = [TunedTrial(n, "COMPLETE", score, float(world.tasks), is_random=True) for n, score in enumerate(scores)]
        chosen = int(np.argmax(scores))
        settings = [
            JudgedSetting({"training.lr": lr}, [self._run(f"{place}-{word}", name, chance, s, o) for s in self._seeds() for o in world.orders])
            for word, lr, chance in (("default", 1e-3, world.levels[name]), ("tuned", 3e-4, float(chances[chosen])))
        ]  # fmt: skip
        budget = float(world.trials)
        return TunedMethod(BENCHMARK, name, settings[0], settings[1], True, trials, chosen, budget, budget)

    def _seeds(self) -> range:
        return range(1, self.world.seeds + 1)

    def _right(self, chance: float) -> dict[str, NDArray[np.bool_]]:
        """Which examples a run gets right, (tasks, examples) per split."""
        moved = chance + self.draws.normal(0.0, self.world.seed_spread, (self.world.tasks, 1))
        return {
            split: self.draws.random(found.shape) < np.clip(moved + found, 0.0, 1.0) for split, found in self.difficulty.items()
        }

    def _run(self, label: str, name: str, chance: float, seed: int, order: str) -> Record:
        right = self._right(chance)
        run_id = f"{label}-{seed}-{self.world.orders.index(order)}"
        count = self.world.tasks
        self.outcomes[run_id] = {("test", count, task): right["test"][task].astype(np.float32) * 100 for task in range(count)}
        tasks = [f"task {task}" for task in range(count)]
        before: Cells = [[None] * count for _ in range(count)]
        cells: dict[str, Cells] = {
            split: [*before, [float(share) * 100 for share in found.mean(axis=1)]] for split, found in right.items()
        }
        config = {"benchmark": {"name": BENCHMARK}, "method": {"name": name}, "training": TRAINING, "seed": seed}
        unused: dict[str, Any] = {
            "config_hash": "",
            "settings_hash": "",
            "data_fingerprint": "",
            "code_version": "",
            "commit": None,
        }
        return Record.model_construct(
            **unused, dirty=None, versions={}, hardware={}, run_id=run_id, config=config, benchmark=BENCHMARK, setting={"order": order}, protocol="task", scoring=None,
            metrics=[METRIC], tasks=tasks, item_digests={"test": tasks}, validation=cells["validation"], test=cells["test"],
            results=[TaskResult.model_construct(row=row, task=None, costs=COSTS) for row in range(count + 1)], status="finished",
            started_at=datetime(2026, 1, 1, tzinfo=UTC), study=None, trial=None, reused_by={}, selection=None,
        )  # fmt: skip
