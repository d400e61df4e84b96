"""Published numbers as leaderboard rows: marked as such, with their source, never averaged with own runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

import pandas as pd

PUBLISHED = "published"


@dataclass(frozen=True)
class Ledger:
    """Which rows of which file belong to a benchmark of the suite.

    Attributes:
        metrics: printed name -> metric of ``suite.metrics.conventions`` it corresponds to.
        scale: factor to percent.
    """

    files: tuple[str, ...]
    benchmark: str
    setting: str
    metrics: Mapping[str, str]
    scale: float = 1.0


ZSCL = {"Transfer": "zscl.transfer", "Average": "zscl.average", "Last": "zscl.last"}
# The page's "Forgetting" on TRACE fits TreeLoRA's code (clipped, divided by T); on X-TAIL its convention is not stated.
LEDGERS: Mapping[str, Ledger] = MappingProxyType(
    {
        "mtil": Ledger(("clip_mtil_fullshot.csv",), "MTIL", "full-shot", ZSCL),
        "mtil-5shot": Ledger(("clip_codyra_project_page.csv",), "MTIL", "5-shot", ZSCL),
        "mtil-16shot": Ledger(("clip_mtil_16shot.csv",), "MTIL", "16-shot", ZSCL),
        "xtail": Ledger(("clip_xtail.csv", "clip_codyra_project_page.csv"), "X-TAIL", "16-shot", ZSCL),
        "trace": Ledger(
            ("trace.csv",), "TRACE", "5000 train/task; standard order; fraction", {"OP": "trace.op", "BWT": "trace.bwt"}, 100.0
        ),
        "trace-500": Ledger(
            ("trace.csv",), "TRACE", "8 tasks standard order; mean of 3 runs", {"OP": "trace.op", "Forgetting": "treelora.forgetting"}
        ),
    }
)


def published_frame(benchmarks: Iterable[str]) -> pd.DataFrame:
    """Rows of ``leaderboard_frame``'s shape for the benchmarks that have published means; ``source`` says where from."""
    parts = [_rows(name, LEDGERS[name]) for name in dict.fromkeys(benchmarks) if name in LEDGERS]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rows(name: str, ledger: Ledger) -> pd.DataFrame:
    table = pd.concat([_read(file) for file in ledger.files], ignore_index=True)
    fitting = table["setting"].str.startswith(ledger.setting) & (table["benchmark"] == ledger.benchmark)
    chosen = table[fitting & table["metric"].isin(ledger.metrics) & table["part"].isin(("mean", "all"))].copy()
    chosen["metric"] = chosen["metric"].map(dict(ledger.metrics))
    chosen["value"] = chosen["value"] * ledger.scale
    chosen["setting"] = chosen["setting"] + chosen["order"].map(lambda order: f", order {order}" if order else "")
    chosen["setting"] += ", " + chosen["backbone"]
    keys = ["setting", "method", "source"]
    wide = chosen.pivot_table(index=keys, columns="metric", values="value", aggfunc="first").reset_index()
    wide.insert(0, "benchmark", name)
    wide["method"] = wide["method"] + " (published)"
    wide["data_fingerprint"] = PUBLISHED
    return wide


def _read(file: str) -> pd.DataFrame:
    with files("suite.leaderboard").joinpath("published", file).open("rb") as stream:
        table = pd.read_csv(stream, keep_default_na=False)
    table = table.rename(columns={"dataset": "part", "task": "part"})
    if "order" not in table:
        table["order"] = ""
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    return table


def with_published(frame: pd.DataFrame, benchmarks: Iterable[str]) -> pd.DataFrame:
    """``frame`` followed by the published rows of ``benchmarks``."""
    rows = published_frame(benchmarks)
    if rows.empty:
        return frame
    for column in [str(name) for name in rows if str(name).count(".") == 1]:
        rows[f"{column} std"] = float("nan")
    columns = [*frame.columns, *(name for name in rows.columns if name not in frame.columns)]
    both = (pd.concat([frame, rows], ignore_index=True) if len(frame) else rows).reindex(columns=columns)
    texts = ("seeds", "unfinished", "budget", "study", "selection", "commit", "config_hash", "source")
    return both.fillna({**dict.fromkeys(texts, ""), "n": 0, "trials": 1})
