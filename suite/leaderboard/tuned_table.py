"""The table of a tuning: default against tuned settings on runs that no trial has seen, and which differences are real.

Two families of tests are made per benchmark and corrected apart (Holm, 5 %): all pairs of methods, once with tuned and once with default
settings; and every method's tuned against its default setting. All pairs, because the best row is itself chosen by the same runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from suite.counting import counted
from suite.errors import DataError
from suite.leaderboard.comparison import LEVEL, Contestant, Difference, compare, contestant, corrected, pairwise_frame
from suite.leaderboard.selection import headline, metric_value
from suite.leaderboard.table import budget_text, tasks_text, took_steps
from suite.leaderboard.tuned import JudgedSetting, TunedMethod, Tuning
from suite.metrics.searches import OrderAgreement, order_agreement
from suite.runs.costs import run_costs
from suite.runs.record import Record, setting_text

Pairs = Mapping[tuple[str, str], Difference]
LEAST = 1e-9  # points; a smaller difference of means is rounding
SETTINGS = ("default", "tuned")
COLUMNS = (
    *("benchmark", "method", "metric", "default", "default std", "default n", "default standing", "default p vs best", "default rank"),
    *("tuned", "tuned std", "tuned n", "standing", "p vs best", "rank", "gain", "gain low", "gain high", "gain p", "over"),
    *("planned", "seeds", "orders", "chosen score", "optimism", "trials", "finished trials", "failed trials", "budget", "spent", "unit"),
    *("trial seconds", "judging seconds", "saved seconds", "settings", "unfinished"),
)  # fmt: skip


@dataclass(frozen=True)
class TunedBoard:
    """One benchmark of a tuning.

    Attributes:
        stream: how it was learned, as far as all methods agree: ``shots 4, 3 tasks, 60 steps x 16 per task``; empty before the first
            judging run.
        tasks: number and names of the tasks, as in the leaderboard.
        rows: one per method, columns as in ``COLUMNS``, the best tuned setting first; NaN and empty text for what there is not.
        pairs: ``default`` and ``tuned`` -> (one method, another) -> the first minus the second, p corrected over all pairs; every pair
            in both directions, empty where nothing can be paired.
        order: how far default and tuned settings order the methods alike; None with fewer than two methods that have both.
        best_by_order: order of tasks -> method with the best tuned setting in it, or several with the same mean, where settings were judged in several orders.
        unpaired: why the methods cannot be compared although they have finished runs; empty when they can.
    """

    benchmark: str
    rows: pd.DataFrame
    pairs: Mapping[str, Pairs]
    order: OrderAgreement | None
    best_by_order: Mapping[str, str]
    unpaired: str = ""
    stream: str = ""
    tasks: str = ""


def tuned_frame(tuning: Tuning) -> pd.DataFrame:
    """The rows of all benchmarks of a tuning below each other."""
    return boards_frame(tuned_boards(tuning))


def boards_frame(boards: Sequence[TunedBoard]) -> pd.DataFrame:
    """The rows of these boards below each other."""
    return pd.concat([board.rows for board in boards], ignore_index=True)


def tuned_boards(tuning: Tuning) -> list[TunedBoard]:
    """The table of every benchmark of a tuning, in their order."""
    return [_board(tuning, benchmark) for benchmark in tuning.benchmarks]


def _board(tuning: Tuning, benchmark: str) -> TunedBoard:
    methods = tuning.of(benchmark)
    rows = {one.method: _row(tuning, one) for one in methods}
    pairs: dict[str, Pairs] = {}
    unpaired = ""
    for setting in SETTINGS:
        try:
            pairs[setting] = _pairs(tuning, methods, setting)
        except DataError as error:
            pairs[setting], unpaired = {}, str(error)
        _mark(rows, pairs[setting], setting)
    _gains(tuning, methods, rows)
    both = [row for row in rows.values() if not any(math.isnan(row[setting]) for setting in SETTINGS)]
    means = {setting: [_without_noise(row[setting]) for row in both] for setting in SETTINGS}
    order = order_agreement(*means.values()) if len(both) > 1 else None
    for column, setting in (("default rank", "default"), ("rank", "tuned")):
        for row, rank in zip(both, _ranks(means[setting]), strict=True):
            row[column] = rank
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    frame = frame.sort_values(["tuned", "default"], ascending=False, na_position="last", kind="stable", ignore_index=True)
    records = [record for one in methods for record in one.records]
    tasks = tasks_text(records) if records else ""
    return TunedBoard(benchmark, frame, pairs, order, _best_by_order(methods), unpaired, _stream(records), tasks)


def _stream(records: Sequence[Record]) -> str:
    """See ``TunedBoard.stream``; orders of tasks are told apart by the table itself."""
    if not records:
        return ""
    setting = {key: value for key, value in records[0].setting.items() if key not in ("order", "tasks")}
    budgets = {budget_text(record.config["training"]) for record in records if took_steps([record])}
    budget = f"{budgets.pop()} per task" if len(budgets) == 1 else ""
    return ", ".join(filter(None, [setting_text(setting), counted(len(records[0].tasks), "task"), budget]))


def judged(one: TunedMethod, setting: str) -> JudgedSetting | None:
    """The method's setting that a column shows: without anything to tune the default one stands in both."""
    return one.default if setting == "default" or not one.has_space else one.tuned


def _row(tuning: Tuning, one: TunedMethod) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)
    finished = [record for setting in SETTINGS if (found := judged(one, setting)) for record in found.finished]
    for setting in SETTINGS:
        found = judged(one, setting)
        values = _values(found.finished) if found else []
        row[setting] = float(np.mean(values)) if values else math.nan
        row[f"{setting} std"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        row[f"{setting} n"] = len(values)
    scores = [tuning.score(record) for record in one.tuned.finished] if one.tuned else []
    chosen = math.nan if one.chosen_score is None else one.chosen_score
    every = {record.run_id: run_costs(record.results) for record in one.records}
    return row | {
        **{"benchmark": one.benchmark, "method": one.method, "metric": headline(finished[0].metrics) if finished else ""},
        **{"default standing": "", "standing": "", "over": "", "planned": tuning.planned(one.benchmark)},
        **{"seeds": ",".join(map(str, tuning.seeds)), "orders": ",".join(filter(None, tuning.orders[one.benchmark]))},
        **{"chosen score": chosen, "optimism": chosen - float(np.mean(scores)) if scores else math.nan},
        **{"trials": len(one.trials), "finished trials": sum(trial.score is not None for trial in one.trials)},
        "failed trials": len(one.failed),
        **{"budget": one.budget, "spent": one.spent, "unit": tuning.unit},
        "trial seconds": math.fsum(trial.seconds for trial in one.trials),
        "judging seconds": math.fsum(costs.wall_seconds for costs in every.values()),
        "saved seconds": math.fsum(
            [*(trial.borrowed_seconds for trial in one.trials), *(costs.borrowed_seconds for costs in every.values())]
        ),
        "settings": settings_text(one),
        "unfinished": what_is_missing(one, tuning.planned(one.benchmark)),
    }


def settings_text(one: TunedMethod, digits: int | None = None) -> str:
    """What the chosen trial sets, as ``training.lr=0.0003, method.rank=2``; numbers with all or so many significant digits."""
    values = one.tuned.values.items() if one.tuned else ()
    rounded = {name: f"{value:.{digits}g}" if digits and isinstance(value, float) else value for name, value in values}
    return ", ".join(f"{name}={value}" for name, value in rounded.items())


def what_is_missing(one: TunedMethod, planned: int) -> str:
    """What a method still lacks, as the end of a sentence about it; empty when it is finished."""
    if one.problem:
        return one.problem.rstrip(".")
    if one.has_space and one.tuned is None:
        ended = sum(trial.state != "RUNNING" for trial in one.trials)
        return f"no setting is chosen yet, {counted(ended, 'trial', 'has', 'have')} ended"
    counts = {name: len(found.finished) for name, found in (("default", one.default), ("tuned", one.tuned)) if found}
    missing = [f"{count} of {planned} runs of its {name} setting" for name, count in counts.items() if count < planned]
    return " and ".join(missing) + " are finished" if missing else ""


def _values(records: Sequence[Record]) -> list[float]:
    """What the comparison tests: accuracy after the last task, mean over tasks, per run."""
    return [metric_value(record, headline(record.metrics)) for record in records]


def _contestant(tuning: Tuning, label: str, found: JudgedSetting | None) -> Contestant | None:
    """None without finished runs that stored their outcomes."""
    runs = [(record, tuning.outcomes(record)) for record in found.finished] if found else []
    usable = [(record, scores) for record, scores in runs if scores]
    return contestant(label, usable) if usable else None


def _pairs(tuning: Tuning, methods: Sequence[TunedMethod], setting: str) -> Pairs:
    """Every pair of methods under one of the two settings; empty when fewer than two have finished runs.

    Raises:
        DataError: their runs were not judged on the same examples.
    """
    rows = [row for one in methods if (row := _contestant(tuning, one.method, judged(one, setting)))]
    found: dict[tuple[str, str], Difference] = {}
    for pair in pairwise_frame(rows).to_dict("records") if len(rows) > 1 else []:
        one, other, mean, low, high = (pair[name] for name in ("first", "second", "difference", "low", "high"))
        found[one, other] = Difference(mean, low, high, pair["p holm"], pair["over"])
        found[other, one] = Difference(-mean, -high, -low, pair["p holm"], pair["over"])
    return found


def is_level(value: float) -> bool:
    """Whether a difference of means is none: sums of equal numbers in another order differ in their last digits."""
    return abs(value) < LEAST


def is_real(difference: Difference) -> bool:
    """Whether the first is better than the second beyond chance."""
    return difference.p < LEVEL and difference.mean > 0


def _mark(rows: Mapping[str, dict[str, Any]], pairs: Pairs, setting: str) -> None:
    """Which of the paired methods is best under a setting, and which cannot be told from it."""
    if not pairs:
        return
    prefix = "" if setting == "tuned" else "default "
    paired = dict.fromkeys(one for one, _ in pairs)
    best = max(paired, key=lambda name: rows[name][setting])
    for name in paired:
        standing = "best" if name == best else "behind" if is_real(pairs[best, name]) else "not separable"
        rows[name] |= {
            f"{prefix}standing": standing,
            f"{prefix}p vs best": 1.0 if name == best else pairs[best, name].p,
        }


def _gains(tuning: Tuning, methods: Sequence[TunedMethod], rows: Mapping[str, dict[str, Any]]) -> None:
    """Tuned minus default setting of every method that has both, Holm-corrected over the methods."""
    found: dict[str, Difference] = {}
    for one in methods:
        before = _contestant(tuning, f"{one.method} default", one.default)
        after = _contestant(tuning, f"{one.method} tuned", one.tuned)
        if before and after and before.judged_on == after.judged_on:
            found[one.method] = compare(after, before)
    for (name, gain), p in zip(found.items(), corrected([gain.p for gain in found.values()]), strict=True):
        rows[name] |= {"gain": gain.mean, "gain low": gain.low, "gain high": gain.high, "gain p": float(p), "over": gain.over}


def _without_noise(mean: float) -> float:
    return LEAST * round(mean / LEAST)


def _ranks(values: Sequence[float]) -> list[float]:
    """1 = best; equal values share the mean of their ranks."""
    return pd.Series(values, dtype=float).rank(ascending=False).tolist()


def _best_by_order(methods: Sequence[TunedMethod]) -> dict[str, str]:
    found: dict[str, dict[str, list[float]]] = {}
    for one in methods:
        setting = judged(one, "tuned")
        for record in setting.finished if setting else []:
            by_method = found.setdefault(str(record.setting.get("order", "")), {})
            by_method.setdefault(one.method, []).extend(_values([record]))
    means = {order: {name: float(np.mean(values)) for name, values in scores.items()} for order, scores in found.items()}
    best = {
        order: " and ".join(name for name, mean in of_order.items() if is_level(mean - max(of_order.values())))
        for order, of_order in means.items()
    }
    return best if len(best) > 1 else {}
