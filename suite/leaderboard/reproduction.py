"""Does the suite reproduce what was published? Per published value the own row, what differs from its protocol, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from suite.leaderboard.ledger import BACKBONES, LEDGERS, order_of, published_values
from suite.leaderboard.protocols import SECOND_HAND, PublishedProtocol, judged_in, protocol_of
from suite.leaderboard.selection import metric_value
from suite.leaderboard.table import leaderboard_frame
from suite.method_titles import outermost
from suite.runs.record import Record

INSIDE, OUTSIDE, NOT_ATTEMPTED = "inside tolerance", "outside tolerance", "not attempted"
COLUMNS = (
    *("benchmark", "setting", "order", "backbone", "published method", "metric", "published", "grade"),
    *("own", "own std", "n", "difference", "tolerance", "verdict", "why", "runs", "reason", "source"),
    "judged in",  # number format of the own runs' evaluations
)
Row = Mapping[Any, Any]


def reproduction_frame(frame: pd.DataFrame, records: Iterable[Record], benchmarks: Iterable[str]) -> pd.DataFrame:
    """One row per published mean of ``benchmarks``: the own row nearest to its protocol, and a verdict or why there is none.

    A verdict needs a row of the same setting whose whole config is the published protocol, a source that is the authors' own, and a
    cell that is not doubted. Otherwise the verdict is ``not attempted``, ``why`` says what is missing or differs, and no difference is
    given. Of several own rows the one with fewest differences is taken, of these the one with most runs, of these the newest, never
    the one that fits best.
    """
    known = {record.run_id: record for record in records}
    own = [{str(key): item for key, item in entry.items()} for entry in frame.to_dict("records")]
    rows: list[dict[str, Any]] = []
    for benchmark in dict.fromkeys(benchmarks):
        here = [row for row in own if row["benchmark"] == benchmark and row["n"]]
        rows += [judged(benchmark, value, here, known) for value in published_values(benchmark).to_dict("records")]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def own_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Rows of ``leaderboard_frame`` with every metric that is published for some benchmark, whatever convention it belongs to."""
    known = {record.run_id: record for record in records}
    frame = leaderboard_frame(known.values())
    for name in sorted({metric for ledger in LEDGERS.values() for metric in ledger.metrics.values()}):
        values = [
            [metric_value(known[run], name) for run in str(runs).split(",")] if n else []
            for runs, n in zip(frame["runs"], frame["n"], strict=True)
        ]
        frame[name] = [float(np.mean(one)) if one else math.nan for one in values]
        frame[f"{name} std"] = [float(np.std(one, ddof=1)) if len(one) > 1 else math.nan for one in values]
    return frame


def judged(benchmark: str, value: Row, own: list[dict[str, Any]], known: Mapping[str, Record]) -> dict[str, Any]:
    """The row of ``reproduction_frame`` for one of ``published_values``, from the own rows that may stand for it.

    Args:
        own: rows of ``own_frame``.
        known: run id -> record, of all their runs.
    """
    protocol = protocol_of(benchmark, value["method"])
    row: dict[str, Any] = {
        **{key: value[key] for key in ("setting", "order", "backbone", "metric", "source", "grade")},
        "benchmark": benchmark,
        "published method": value["method"],
        "published": value["value"],
        "tolerance": protocol.tolerance.get(value["metric"], math.nan) if protocol else math.nan,
        "reason": protocol.reason if protocol else "",
        "verdict": NOT_ATTEMPTED,
        "runs": "",
        "judged in": "",
    }
    why = _no_verdict(value, protocol)
    nearest, differences = _nearest(benchmark, value, protocol, own, known)
    if nearest is None:
        return row | {"why": "; ".join([*why, *(["no run here"] if protocol and not why else [])])}
    metric = value["metric"]
    row |= {"own": nearest[metric], "own std": nearest[f"{metric} std"], "n": nearest["n"], "runs": nearest["runs"]}
    row["judged in"] = ", ".join(sorted({judged_in(known[name]) for name in str(nearest["runs"]).split(",")}))
    row["why"] = "; ".join([*why, *differences])
    if row["why"]:
        return row
    difference = float(nearest[metric]) - float(value["value"])
    return row | {"difference": difference, "verdict": INSIDE if abs(difference) <= row["tolerance"] else OUTSIDE}


def _no_verdict(value: Row, protocol: PublishedProtocol | None) -> list[str]:
    """What forbids a verdict whatever was run."""
    why = [str(value["doubt"])] if value["doubt"] else []
    why += ["second-hand: no verdict"] if value["grade"] == SECOND_HAND else []
    if protocol is None:
        return [*why, "no method here is the published one"]
    if protocol.missing:
        return [*why, protocol.missing]
    return why if value["metric"] in protocol.tolerance else [*why, "no tolerance is set for this metric"]


def _nearest(
    benchmark: str, value: Row, protocol: PublishedProtocol | None, own: list[dict[str, Any]], known: Mapping[str, Record]
) -> tuple[Row | None, list[str]]:
    """The own row whose runs differ least from the protocol, and in what; (None, []) when the method was not run."""
    found = []
    for row in own:
        if protocol is None or outermost(row["method"]) != protocol.method or math.isnan(row.get(value["metric"], math.nan)):
            continue
        runs = [known[name] for name in str(row["runs"]).split(",")]
        differences = [*_other_setting(benchmark, value, runs[0], str(row["backbone"])), *protocol.differences(runs[0])]
        found.append((-len(differences), row["n"], max(run.started_at for run in runs), row, differences))
    return max(found, key=lambda entry: entry[:3])[3:] if found else (None, [])


def _other_setting(benchmark: str, value: Row, record: Record, backbone: str) -> list[str]:
    """One clause per point in which the run's stream or backbone is not the published one."""
    wanted = {"order": order_of(value), **LEDGERS[benchmark].own}
    other = [
        f"{key} {record.setting.get(key)} (published {text})"
        for key, text in wanted.items()
        if str(record.setting.get(key)) != text
    ]
    model = BACKBONES.get(str(value["backbone"]), "")
    if not model or model not in backbone.lower():
        other.append(f"backbone {backbone} (published {value['backbone']})")
    return other


def reproduction_notes(benchmark: str, part: pd.DataFrame) -> list[str]:
    """What the rows of one benchmark cannot say in a column: why own runs got no verdict, and what holds for all of its rows."""
    told = part[part["own"].notna() & (part["why"] != "")].to_dict("records")
    lines = [
        f"{row['published method']}{', order ' + row['order'] if row['order'] else ''}, {row['backbone']}, run {row['runs']}: {row['why']}."
        for row in told
    ]
    remark = LEDGERS[benchmark].remark
    return [*dict.fromkeys(lines), *([f"{benchmark}: {remark}."] if remark else [])]
