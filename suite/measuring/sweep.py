"""What ``dev perf sweep`` and ``dev perf stopping`` do: what a sweep costs beside its trials, and what a stopping rule saves."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from suite.config import validate
from suite.errors import ConfigError
from suite.files import sqlite_uri
from suite.measuring.stopping import replay
from suite.runs.store import RunStore
from suite.tuning.cluster import ray_session
from suite.tuning.objectives import Objective
from suite.tuning.run_settings import RunSettings
from suite.tuning.stopping import StoppingConfig
from suite.tuning.study_config import StudyConfig
from suite.workflows.sweeping import run_study
from suite.yaml_files import load_yaml
from trainables.resources import Resources

SWEEP: dict[str, Any] = {
    "name": "perf",
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]},
        "method": {"name": "codyra", "kappa_levels": 20},
        "training": {"steps": 100},
    },
    "space": "codyra-quick",
    "sampler": "random",
}
MINUTE = 60.0
MARKS = (0.2, 0.4, 0.6, 0.8)
RULES = (
    StoppingConfig(rule="none"),
    StoppingConfig(rule="median", grace_tasks=1),
    StoppingConfig(rule="median", grace_tasks=2),
    StoppingConfig(rule="median", grace_tasks=2, margin=1.0),
    StoppingConfig(rule="median", grace_tasks=3, margin=2.0),
    StoppingConfig(rule="halving", grace_tasks=1, reduction=2),
    StoppingConfig(rule="halving", grace_tasks=1, reduction=3),
    StoppingConfig(rule="halving", grace_tasks=2, reduction=2),
    StoppingConfig(rule="halving", grace_tasks=2, reduction=2, margin=1.0),
    StoppingConfig(rule="halving", grace_tasks=2, reduction=3, margin=2.0),
)


@dataclass(frozen=True)
class SweepCost:
    """Seconds, measured in one session on this machine.

    Attributes:
        own: mean of what the trials' records say they took: training, evaluation, checkpoints.
        beside: mean time between the ends of two trials, one at a time, minus ``own``: suggesting, starting, reading data,
            building the network, telling Optuna, logging to MLflow.
        alone, shared: wall seconds of all trials one after the other, and two at a time.
    """

    trials: int
    own: float
    beside: float
    alone: float
    shared: float

    @property
    def share_of_minute(self) -> float:
        """Of a sweep whose trials take a minute, the part that is not the trials'."""
        return self.beside / (MINUTE + self.beside)

    @property
    def throughput(self) -> float:
        """Trials per hour two at a time over one at a time."""
        return self.alone / self.shared


def measure_sweep(trials: int) -> SweepCost:
    """A warm-up study, then the same trials one and two at a time, with a real study and MLflow database each."""
    with tempfile.TemporaryDirectory(prefix="codyra-perf-") as scratch, ray_session(None, Resources()):
        _study(Path(scratch) / "warm", 2, 2)
        alone, ends, own = _study(Path(scratch) / "alone", trials, 1)
        shared, _, _ = _study(Path(scratch) / "shared", trials, 2)
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    return SweepCost(trials, sum(own[1:]) / len(gaps), (sum(gaps) - sum(own[1:])) / len(gaps), alone, shared)


def _study(folder: Path, trials: int, at_a_time: int) -> tuple[float, list[float], list[float]]:
    """Wall seconds, moments at which trials ended, and their own seconds in that order."""
    folder.mkdir()
    config = validate(StudyConfig, {**SWEEP, "budget": {"trials": trials}, "concurrency": at_a_time}, where="perf sweep")
    run_settings = RunSettings(folder / "out", folder, "cpu", concurrency=at_a_time)
    tracking = sqlite_uri(folder / "mlflow.db")
    begun = time.perf_counter()
    run_study(config, run_settings, tracking, resume=False, accept_changes=False)
    took = time.perf_counter() - begun
    records = sorted((run.record for run in RunStore(folder / "out").all().runs), key=lambda r: r.ended_at or r.started_at)
    ends = [(record.ended_at or record.started_at).timestamp() for record in records]
    return took, ends, [sum(result.costs.wall_seconds for result in record.results) for record in records]


def replay_rules(out: Path, study: str) -> pd.DataFrame:
    """One row per stopping rule: cost of the whole study, trials ended early, what the best lost, share of the full hypervolume at some
    costs.

    Raises:
        ConfigError: there is no such study.
        DataError: it has no finished trials.
    """
    file = out / "studies" / study / "sweep.yaml"
    if not file.is_file():
        raise ConfigError(f"study '{study}': no {file}; give the name of a study below --out.")
    objectives = [Objective(name) for name in validate(StudyConfig, load_yaml(file), where=str(file)).objectives]
    records = [run.record for run in RunStore(out).all().runs]
    rows = []
    for rule in RULES:
        found = replay([record for record in records if study in record.trials], rule, objectives, MARKS)
        shares = {f"volume at {mark:.0%} of cost": found.share_at[mark][1] for mark in MARKS}
        lost = f"{found.on_front_stopped} of {found.front}"
        rows.append(
            {
                "rule": _name(rule),
                "trials": found.trials,
                "ended early": found.stopped,
                "of the front": lost,
                "cost": found.cost,
                f"regret, {objectives[0].name}": found.regret,
                "mean cost": found.mean_cost,
                "mean regret": found.mean_regret,
                **shares,
            }
        )
    return pd.DataFrame(rows)


def _name(rule: StoppingConfig) -> str:
    if rule.rule == "none":
        return "none"
    reduction = f" by {rule.reduction:g}" if rule.rule == "halving" else ""
    return f"{rule.rule}{reduction}, grace {rule.grace_tasks}, margin {rule.margin:g}"
