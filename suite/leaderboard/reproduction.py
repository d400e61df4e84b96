"""Does the suite reproduce what was published? Difference and verdict per published value, from a committed tolerance file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

from suite.leaderboard.ledger import BACKBONES, LEDGERS, published_values
from suite.runs.record import Record

RECOMPUTED = ("zscl", "trace", "treelora")  # conventions that hold every metric of the ledger
INSIDE, OUTSIDE, NOT_ATTEMPTED = "inside tolerance", "outside tolerance", "not attempted"


def tolerances() -> pd.DataFrame:
    """The committed file: benchmark, published_method, method, settings (``key=value;...`` of the method), metric, tolerance
    in points, reason."""
    with files("suite.leaderboard").joinpath("published", "tolerances.csv").open("rb") as stream:
        return pd.read_csv(stream, keep_default_na=False)


def reproduction_frame(frame: pd.DataFrame, records: Iterable[Record], benchmarks: Iterable[str]) -> pd.DataFrame:
    """One row per published mean of ``benchmarks``: the comparable own row, the difference in points, a verdict.

    Comparable: same benchmark, shots, order, scoring rule and backbone with its weights, complete images, a method that the
    tolerance file names for the published one, with the settings it asks for. Of several own rows the one with most runs is
    taken, of these the newest, never the one that fits best. ``not attempted``: no such row, or no tolerance was set.
    """
    known = {record.run_id: record for record in records}
    rules = tolerances()
    rows: list[dict[str, Any]] = []
    for benchmark in dict.fromkeys(benchmarks):
        for value in published_values(benchmark).to_dict("records"):
            rows.append(_judged(benchmark, {str(key): entry for key, entry in value.items()}, frame, rules, known))
    columns = ["benchmark", "setting", "order", "backbone", "published method", "metric", "published"]
    columns += ["own", "n", "difference", "tolerance", "verdict", "runs", "reason", "source"]
    return pd.DataFrame(rows, columns=columns)


def _judged(
    benchmark: str, value: Mapping[str, Any], frame: pd.DataFrame, rules: pd.DataFrame, known: Mapping[str, Record]
) -> dict[str, Any]:
    named = (rules["benchmark"] == benchmark) & (rules["published_method"] == value["method"]) & (rules["metric"] == value["metric"])
    rule = rules[named].iloc[0].to_dict() if named.any() else None
    own = _own_row(benchmark, value, rule, frame, known) if rule else None
    row: dict[str, Any] = {
        **{key: value[key] for key in ("setting", "order", "backbone", "metric", "source")},
        "benchmark": benchmark,
        "published method": value["method"],
        "published": value["value"],
        "tolerance": rule["tolerance"] if rule else math.nan,
        "reason": rule["reason"] if rule else "",
        "verdict": NOT_ATTEMPTED,
        "runs": "",
    }
    if own is None or rule is None:
        return row
    difference = float(own[value["metric"]]) - float(value["value"])
    verdict = INSIDE if abs(difference) <= float(rule["tolerance"]) else OUTSIDE
    return row | {"own": own[value["metric"]], "n": own["n"], "difference": difference, "verdict": verdict, "runs": own["runs"]}


def _own_row(
    benchmark: str, value: Mapping[str, Any], rule: Mapping[str, Any], frame: pd.DataFrame, known: Mapping[str, Record]
) -> Mapping[str, Any] | None:
    order = str(value["order"]).split(" ")[0] or "1"  # TRACE's files print no order: the standard one
    model = BACKBONES.get(str(value["backbone"]), "")
    settings = dict(entry.split("=") for entry in str(rule["settings"]).split(";") if entry)
    found = []
    for entry in frame.to_dict("records"):
        row = {str(key): item for key, item in entry.items()}
        if row["benchmark"] != benchmark or row["method"] != rule["method"] or not row["n"] or math.isnan(row.get(value["metric"], math.nan)):
            continue
        runs = [known[name] for name in str(row["runs"]).split(",")]
        same_method = _holds(runs[0].config["method"], settings)
        same_data = _holds(runs[0].setting, {**LEDGERS[benchmark].own, "order": order})
        if same_method and same_data and model and model in str(row["backbone"]).lower():
            found.append((row["n"], max(run.started_at for run in runs), row))
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _holds(fields: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(str(fields.get(key)) == text for key, text in wanted.items())
