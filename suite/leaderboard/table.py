"""Records to leaderboard rows: one row per benchmark, setting, data, code and configuration; seeds are averaged.

The frame's columns are documented in docs/leaderboard.md; every table, file and page is made from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from suite.errors import SuiteError
from suite.metrics.conventions import compute, convention
from suite.metrics.matrix import AccuracyMatrix
from suite.record import Record

KEYS = ("benchmark", "setting", "method", "scoring", "data_fingerprint", "code_version", "settings_hash")
COSTS = ("trainable_parameters", "effective_rank", "no_signal_rank", "carried_bytes", "wall_seconds", "peak_gib")
ABOUT = (
    *("n", "seeds", "unfinished", "budget", "lr", "study", "trials", "selection", "optimism"),
    *("commit", "config_hash", "data_fingerprint"),
)


def leaderboard_frame(
    records: Iterable[Record], convention_name: str | None = None, *, all_trials: bool = False
) -> pd.DataFrame:
    """One row per configuration; columns ``<metric>`` (mean over seeds) and ``<metric> std`` (n - 1; empty for one seed).

    Only finished runs enter a mean; ``unfinished`` counts the others of the same configuration. Different data fingerprints,
    code versions and scoring rules never share a row.

    Args:
        convention_name: metrics of this convention for every row instead of each benchmark's own.
        all_trials: a row for every trial of a study; otherwise one for the trial that validation selects.
    """
    every = list(records)
    selection = {} if all_trials else select_trials(every)
    shown = [record for record in every if all_trials or record.study is None or record.run_id in selection]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in shown:
        groups.setdefault(_key(record), []).append(record)
    rows = [_row(key, group, convention_name, selection) for key, group in groups.items()]
    metrics = list(dict.fromkeys(name for row in rows for name in row if name not in (*KEYS, *COSTS, *ABOUT)))
    columns = ["benchmark", "setting", "method", *metrics, *COSTS, *ABOUT, "code_version", "settings_hash", "scoring"]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    return _sorted(frame, metrics)


def _key(record: Record) -> tuple[str, ...]:
    setting = ", ".join(f"{key} {value}" for key, value in record.setting.items())
    method = str(record.config["method"]["name"])
    return (
        record.benchmark,
        setting,
        method,
        record.scoring or "",
        record.data_fingerprint[:12],
        record.code_version,
        record.settings_hash,
    )


@dataclass(frozen=True)
class Selection:
    """How a study's trial was chosen: ``trials`` finished ones compared by ``rule``; ``optimism`` = test value of the best
    trial by test minus that of the chosen one, what peeking would have added."""

    trials: int
    rule: str
    optimism: float


def select_trials(records: Sequence[Record]) -> dict[str, Selection]:
    """Run id of each study's chosen trial: best last accuracy (or overall performance) on validation, never on test."""
    studies: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.study is not None and record.status == "finished":
            studies.setdefault((record.study, record.data_fingerprint), []).append(record)
    chosen = {}
    for trials in studies.values():
        name = next((metric for metric in trials[0].metrics if metric.endswith((".last", ".op"))), trials[0].metrics[0])
        best = max(trials, key=lambda record: metric_value(record, name, "validation"))
        oracle = max(metric_value(record, name) for record in trials)
        chosen[best.run_id] = Selection(len(trials), f"{name} on validation", oracle - metric_value(best, name))
    return chosen


def _row(
    key: tuple[str, ...], group: Sequence[Record], convention_name: str | None, selection: Mapping[str, Selection]
) -> dict[str, Any]:
    selected = next((selection[record.run_id] for record in group if record.run_id in selection), None)
    finished = [record for record in group if record.status == "finished"]
    row: dict[str, Any] = dict(zip(KEYS, key, strict=True))
    names = [metric.name for metric in convention(convention_name)] if convention_name else group[0].metrics
    for name in names:
        values = [value for record in finished if not math.isnan(value := metric_value(record, name))]
        row[name] = float(np.mean(values)) if values else math.nan
        row[f"{name} std"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    row |= {name: _mean(costs(record)[name] for record in finished) for name in COSTS}
    training = group[0].config["training"]
    commits = {(record.commit or "")[:12] + ("+" if record.dirty else "") for record in group}
    return row | {
        "n": len(finished),
        "seeds": ",".join(str(seed) for seed in sorted({record.config["seed"] for record in finished})),
        "unfinished": ", ".join(sorted(_state(record) for record in group if record.status != "finished")),
        "budget": budget_text(training),
        "lr": training["lr"],
        "study": ",".join(sorted({record.study for record in group if record.study})),
        "trials": selected.trials if selected else 1,
        "selection": selected.rule if selected else "none",
        "optimism": selected.optimism if selected else math.nan,
        "commit": ",".join(sorted(commits)),
        "config_hash": ",".join(sorted({record.config_hash for record in group})),
    }


def metric_value(record: Record, name: str, split: Literal["test", "validation"] = "test") -> float:
    """A metric of a run's matrix; NaN where the stream leaves it undefined (too few tasks, cells never measured)."""
    try:
        return compute(name, AccuracyMatrix.from_lists(getattr(record, split), tuple(record.tasks)))
    except SuiteError:
        return math.nan


def costs(record: Record) -> Mapping[str, float]:
    """Cost columns of one run: largest of its tasks for sizes, sum for time, mean over tasks and slots for ranks."""
    learned = record.results[1:]
    ranks = [sum(r.effective_rank.values()) / len(r.effective_rank) for r in learned if r.effective_rank]
    nulls = [r.no_signal_rank for r in learned if r.no_signal_rank is not None]
    peaks = [r.costs.device_peak_bytes or r.costs.peak_bytes for r in record.results]
    return {
        "trainable_parameters": float(max((r.costs.trainable_parameters for r in learned), default=0)),
        "effective_rank": _mean(ranks),
        "no_signal_rank": _mean(nulls),
        "carried_bytes": float(max((r.costs.carried_bytes for r in learned), default=0)),
        "wall_seconds": sum(r.costs.wall_seconds for r in record.results),
        "peak_gib": max(peaks, default=0) / 2**30,
    }


def budget_text(training: Mapping[str, Any]) -> str:
    """Steps or epochs per task and batch size, as the table shows them."""
    if training["steps"] is not None:
        return f"{training['steps']} steps x {training['batch_size']}"
    epochs = training["epochs"]
    return f"{'own' if epochs is None else f'{epochs:g}'} epochs x {training['batch_size']}"


def _state(record: Record) -> str:
    return f"seed {record.config['seed']} {record.status} after {record.tasks_done} of {len(record.tasks)}"


def _mean(values: Iterable[float]) -> float:
    found = [value for value in values if not math.isnan(value)]
    return float(np.mean(found)) if found else math.nan


def _sorted(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """By benchmark and setting, the best last accuracy (or first metric) first."""
    if frame.empty:
        return frame
    last = next((name for name in metrics if name.endswith((".last", ".op"))), metrics[0])
    order = frame.sort_values(["benchmark", "setting", last], ascending=[True, True, False], na_position="last", kind="stable")
    return order.reset_index(drop=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the metric columns, without their standard deviations."""
    return [name.removesuffix(" std") for name in frame.columns if name.endswith(" std")]
