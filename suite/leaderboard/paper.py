"""A published table beside the runs of its recipes: one row per printed value, with a verdict or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from suite.leaderboard.ledger import published_values
from suite.leaderboard.recipes import PrintedRow
from suite.leaderboard.reproduction import COLUMNS, judged, own_frame
from suite.runs.record import Record

NOT_HERE = "not implementable"
PAPER_COLUMNS = (
    *("benchmark", "order", "backbone", "published method", "method", "metric", "published", "grade"),
    *(name for name in COLUMNS if name in ("own", "own std", "n", "difference", "tolerance", "verdict", "why", "judged in")),
    *("assumed", "settings from", "runs", "reason", "setting", "source"),
)


def paper_frame(
    benchmark: str, rows: Sequence[PrintedRow], records: Iterable[Record], left_out: Mapping[str, str]
) -> pd.DataFrame:
    """One row per published value of ``rows``, in the order of the shipped tables.

    Each is judged by the runs of its own recipe alone, as ``reproduction_frame`` does it: what differs from the published protocol,
    or is not published, forbids a verdict.

    Args:
        records: of the runs; those of other configs are not looked at.
        left_out: hash of a config -> why it was not run.
    """
    known = {record.config_hash: record for record in records}
    found = []
    for value in published_values(benchmark).to_dict("records"):
        printed = next((row for row in rows if row.is_printed_as(value)), None)
        if printed is not None:
            found.append(_valued(benchmark, value, printed, known, left_out))
    return pd.DataFrame(found, columns=list(PAPER_COLUMNS))


def _valued(
    benchmark: str, value: Mapping[Any, Any], printed: PrintedRow, known: Mapping[str, Record], left_out: Mapping[str, str]
) -> dict[str, Any]:
    hashes = [config.config_hash() for config in printed.configs]
    records = [known[one] for one in hashes if one in known]
    frame = own_frame(records)
    own = [{str(key): item for key, item in row.items()} for row in frame.to_dict("records") if row["n"]]
    row = judged(benchmark, value, own, {record.run_id: record for record in records})
    row |= {"order": printed.order, "method": printed.method}
    row |= {"assumed": printed.recipe.assumed, "settings from": printed.recipe.source}
    reasons = dict.fromkeys(left_out[one] for one in hashes if one in left_out)
    if printed.absent:
        row |= {"verdict": NOT_HERE, "why": printed.absent, "assumed": "", "settings from": ""}
    elif not own:
        row["why"] = "; ".join(
            [*(reasons or ["there is no finished run"]), row["why"].removesuffix("no run here")]
        ).removesuffix("; ")
    return row


def paper_notes(frame: pd.DataFrame) -> list[str]:
    """What the rows of a paper table cannot say in a column: why a verdict is missing, and what a recipe assumes.

    One line for each method: of rows that differ in backbone or order the first that was run speaks.
    """
    notes: dict[str, list[str]] = {}
    for name, part in frame.groupby("published method", sort=False):
        here = part[part["verdict"] != NOT_HERE]
        row = (here if len(here) else part).sort_values("own", kind="stable").iloc[0]
        text = f"{NOT_HERE}: {row['why']}" if not len(here) else _judged_note(row)
        notes.setdefault(text.rstrip("."), []).append(str(name))
    absent = frame[(frame["verdict"] == NOT_HERE) & (frame["method"] != "")]
    others = dict.fromkeys(zip(absent["backbone"], absent["why"], strict=True))
    return [
        *(f"{', '.join(names)}: {text}." for text, names in notes.items()),
        *(f"{backbone}: {NOT_HERE}: {why}." for backbone, why in others),
    ]


def _judged_note(row: pd.Series) -> str:
    why = f"no verdict: {row['why']}; " if row["why"] else ""
    judged = f"judged in {row['judged in']}; " if row["judged in"] else ""
    return f"{judged}{why}assumed: {row['assumed']}"
