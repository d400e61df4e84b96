"""What stored runs say beyond their scores: where rank was kept and what moved, and which differences are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from suite.leaderboard.comparison import pairwise_frame
from suite.leaderboard.ranks import rank_comparison, ranks_of, shift_frame
from suite.leaderboard.significance import groups_of_rows, rank_table, variance_frame
from suite.runs.record import Record
from suite.workflows.places import OUT
from suite.workflows.tables import named_runs

RANK_GROUPS = ("encoder", "weight", "layer", "task")


@dataclass(frozen=True)
class Ranks:
    """Effective ranks and movement of some runs.

    Attributes:
        slots: one row per run, task and slot.
        means: ``encoder``, ``weight``, ``layer`` or ``task`` -> mean effective rank beside its no-signal value.
        shifts: Frobenius norms of every task's update and of the shift up to then.
    """

    records: Sequence[Record]
    slots: pd.DataFrame
    means: Mapping[str, pd.DataFrame]
    shifts: pd.DataFrame


def ranks(names: Sequence[str], *, out: Path | str = OUT, tracking: str | None = None) -> Ranks:
    """Effective rank per weight, layer and task, and size of updates.

    Args:
        names: ids, names, tags or folders of runs, as ``suite.runs.finding`` reads them; looked for below ``out``, then in the tracker.

    Raises:
        SuiteError: no such run, or one without a low-rank part.
    """
    records = named_runs(list(names), {}, Path(out), tracking).records
    slots = ranks_of(records)
    return Ranks(records, slots, {by: rank_comparison(slots, by) for by in RANK_GROUPS}, shift_frame(records))


@dataclass(frozen=True)
class Compared:
    """Rows of one stream against each other.

    Attributes:
        pairs: difference in points after the last task with its 95 % interval and corrected p value, for every pair.
        ranked: mean rank over tasks, None of fewer than three rows; ``note`` has its critical difference.
    """

    title: str
    pairs: pd.DataFrame
    ranked: pd.DataFrame | None
    note: str


@dataclass(frozen=True)
class Significance:
    """Streams one by one, and the spread of the headline metric over seeds and orders in squared points, empty where unknown."""

    streams: Sequence[Compared]
    spread: pd.DataFrame


def significance(
    names: Sequence[str] = (),
    *,
    benchmark: str | None = None,
    method: str | None = None,
    setting: str | None = None,
    study: str | None = None,
    tag: str | None = None,
    all_trials: bool = False,
    out: Path | str = OUT,
    tracking: str | None = None,
) -> Significance:
    """Which rows differ after the last task: paired tests on equal examples and seeds, Holm-corrected over all pairs.

    Args:
        names: as in ``ranks``; without any, the rows of the leaderboard that the filters leave.
        all_trials: of studies every trial, not the chosen one alone.

    Raises:
        SuiteError: no such run, or nothing that can be compared.
    """
    filters = {"benchmark": benchmark, "method": method, "setting": setting, "study": study, "tag": tag}
    runs = named_runs(list(names), filters, Path(out), tracking)
    streams = []
    for title, rows in groups_of_rows(runs, all_trials=all_trials or bool(names)):
        ranked, note = rank_table(rows) if len(rows) > 2 else (None, "")
        streams.append(Compared(title, pairwise_frame(rows), ranked, note))
    return Significance(streams, variance_frame(runs.records))
