"""Who wins on a stream of the leaderboard, in one sentence: by how much, and whether it is real. Tables and pages print the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from suite.counting import counted
from suite.leaderboard.comparison import LEVEL
from suite.leaderboard.ranking import row_labels
from suite.leaderboard.selection import headline, same_formula
from suite.leaderboard.table import shown_metrics
from suite.leaderboard.tests_told import seed_set
from suite.leaderboard.tuned_standings import names, points

TESTED = "zscl.last"  # the formula that marks are about, under any of its names
MOST_NAMES = 4  # more rows are counted, not named


def winner_sentence(part: pd.DataFrame) -> str:
    """The result of the rows of one benchmark, setting, data and scoring rule, which have their ``standing``."""
    where = f"{part['benchmark'].iloc[0]} ({part['setting'].iloc[0]})"
    called = row_names(part)
    best = part[part["standing"] == "best"]
    if best.empty:
        return f"On {where} {_nothing_said(part, called)}."
    first = best.index[0]
    tied, behind = (part[part["standing"] == name] for name in ("not separable", "behind"))
    metric = tested_metric(part)
    value = f"{metric} {part[metric][first]:.1f} %" if metric else "mean accuracy after the last task"
    tests = f"paired over equal examples, Holm over {counted(len(tied) + len(behind), 'test')}, {100 * LEVEL:g} %"
    if tied.empty:
        others = "all other rows" if len(behind) > 1 else called[behind.index[0]]
        return f"On {where} {called[first]} is better than {others}: {value}{_lead(part, first, behind, metric, called)} ({tests}). {_seeds(part)}"
    rest = f"; beyond chance behind it: {_listed([called[index] for index in behind.index])}" if len(behind) else ""
    near = _listed([called[index] for index in tied.index])
    return (
        f"On {where} no row is shown to be the best: {called[first]} has the highest mean ({value}), but {near} cannot be told from it "
        f"({tests}){rest}. {_seeds(part)}"
    )


def row_names(part: pd.DataFrame) -> dict[Any, str]:
    """Index -> the row's method, with the beginning of its settings' hash where several rows are of one method."""
    repeated = part["method"].duplicated(keep=False)
    named = zip(part.index, part["method"], row_labels(part), repeated, strict=True)
    return {index: label if is_repeated else str(method) for index, method, label, is_repeated in named}


def tested_metric(part: pd.DataFrame) -> str:
    """The shown metric that the marks test, which is the headline of most conventions; empty where none is it."""
    shown = shown_metrics(part)
    return next((name for name in [headline(shown), *shown] if same_formula(name, TESTED)), "") if shown else ""


def _nothing_said(part: pd.DataFrame, called: Mapping[Any, str]) -> str:
    finished = part[part["n"] > 0]
    if finished.empty:
        return "nothing can be said yet: no run is finished"
    if len(finished) == 1:
        return f"there is nothing to compare: {called[finished.index[0]]} alone has finished runs"
    return f"the {len(finished)} rows cannot be compared: fewer than two of them stored the outcomes of the same examples"


def _lead(part: pd.DataFrame, first: int, behind: pd.DataFrame, metric: str, called: Mapping[Any, str]) -> str:
    if not metric or behind.empty:
        return ""
    second = behind.index[int(behind[metric].argmax())]
    rest = "" if len(behind) == 1 else f", the next best of {len(behind)}"
    return f", {points(float(part[metric][first] - behind[metric].max()))} ahead of {called[second]}{rest}"


def _listed(found: Sequence[str]) -> str:
    return names(found) if len(found) <= MOST_NAMES else f"{len(found)} rows"


def _seeds(part: pd.DataFrame) -> str:
    """What the result speaks for."""
    runs = [seed_set(seeds) for seeds in part[part["standing"].isin(["best", "not separable", "behind"])]["seeds"]]
    shared = len(set.intersection(*runs)) if runs else 0
    if shared < 2:
        return "Rows share one seed at most: this speaks for other examples, not for other seeds."
    return f"Rows share {shared} seeds: this speaks for other examples and other seeds."
