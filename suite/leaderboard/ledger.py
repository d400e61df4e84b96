"""Published numbers beside own rows: marked as such, with their source, never averaged with own runs."""

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
        own: what the setting of an own run must be to be comparable.
    """

    files: tuple[str, ...]
    benchmark: str
    setting: str
    metrics: Mapping[str, str]
    own: Mapping[str, str]


ZSCL = {"Transfer": "zscl.transfer", "Average": "zscl.average", "Last": "zscl.last"}
TRACE = {"OP": "trace.op", "BWT": "trace.bwt"}
# The CoDyRA page's "Forgetting" on TRACE and the MoRAM page's "BWT" without sign, equal values, fit TreeLoRA's code (clipped, divided
# by T); on X-TAIL the convention is not stated.
TREELORA = {"OP": "trace.op", "Forgetting": "treelora.forgetting", "BWT_abs": "treelora.forgetting"}


def _images(shots: str) -> dict[str, str]:
    return {"shots": shots, "data": "complete"}


LEDGERS: Mapping[str, Ledger] = MappingProxyType(
    {
        "mtil": Ledger(("clip_mtil_fullshot.csv",), "MTIL", "full-shot", ZSCL, _images("all")),
        "mtil-5shot": Ledger(("clip_codyra_project_page.csv",), "MTIL", "5-shot", ZSCL, _images("5")),
        "mtil-16shot": Ledger(("clip_mtil_16shot.csv",), "MTIL", "16-shot", ZSCL, _images("16")),
        "xtail": Ledger(("clip_xtail.csv", "clip_codyra_project_page.csv"), "X-TAIL", "16-shot", ZSCL, _images("16")),
        "trace": Ledger(("trace.csv",), "TRACE", "5000 train/task; standard order", TRACE, {"scoring": "trace"}),
        "trace-500": Ledger(("trace.csv",), "TRACE", "8 tasks standard order; mean of 3 runs", TREELORA, {"scoring": "treelora"}),
    }
)
# Printed backbone -> what model and weights of the same one hold here, in lower case.
BACKBONES: Mapping[str, str] = MappingProxyType(
    {
        "CLIP ViT-B/16": "vit-b-16-quickgelu openai",
        "LLaMA-2-7B-Chat": "llama-2-7b-chat",
        "LLaMA-2-13B-Chat": "llama-2-13b-chat",
        "LLaMA-3-1B-Instruct": "llama-3.2-1b-instruct",
        "Gemma-2B-it": "gemma-2b-it",
        "Vicuna-7B-V1.5": "vicuna-7b-v1.5",
        "Vicuna-13B-V1.5": "vicuna-13b-v1.5",
        "Baichuan2-7B-Instruct": "baichuan2-7b",
    }
)


def published_values(benchmark: str) -> pd.DataFrame:
    """Published means of a benchmark of the suite, one row per value: setting, order, backbone, method, metric, value in
    percent, source; empty when nothing is shipped for it.
    """
    columns = ["setting", "order", "backbone", "method", "metric", "value", "source"]
    if benchmark not in LEDGERS:
        return pd.DataFrame(columns=columns)
    ledger = LEDGERS[benchmark]
    table = pd.concat([_read(file) for file in ledger.files], ignore_index=True)
    fitting = table["setting"].str.startswith(ledger.setting) & (table["benchmark"] == ledger.benchmark)
    chosen = table[fitting & table["metric"].isin(ledger.metrics) & table["part"].isin(("mean", "all"))].copy()
    chosen["metric"] = chosen["metric"].map(dict(ledger.metrics))
    fractions = chosen["setting"].str.endswith("fraction")
    chosen["value"] = chosen["value"].where(~fractions, chosen["value"] * 100.0)
    chosen["setting"] = chosen["setting"].str.removesuffix("; fraction").str.removesuffix("; percent")
    return chosen[columns].reset_index(drop=True)


def published_frame(benchmarks: Iterable[str]) -> pd.DataFrame:
    """Rows of ``leaderboard_frame``'s shape for the benchmarks that have published means; ``source`` says where from."""
    parts = [_rows(name) for name in dict.fromkeys(benchmarks) if name in LEDGERS]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rows(name: str) -> pd.DataFrame:
    chosen = published_values(name)
    chosen["setting"] += chosen["order"].map(lambda order: f", order {order}" if order else "")
    wide = chosen.pivot_table(
        index=["setting", "backbone", "method", "source"], columns="metric", values="value", aggfunc="first"
    ).reset_index()
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
    if "value" in table:
        table["value"] = pd.to_numeric(table["value"], errors="coerce")
    return table


def with_published(frame: pd.DataFrame, benchmarks: Iterable[str]) -> pd.DataFrame:
    """``frame`` with the published rows of ``benchmarks`` put behind the own rows of each benchmark."""
    rows = published_frame(benchmarks)
    if rows.empty:
        return frame
    for column in [str(name) for name in rows if str(name).count(".") == 1]:
        rows[f"{column} std"] = float("nan")
    columns = [*frame.columns, *(name for name in rows.columns if name not in frame.columns)]
    both = (pd.concat([frame, rows], ignore_index=True) if len(frame) else rows).reindex(columns=columns)
    texts = ("standing", "seeds", "orders", "tasks", "undefined", "unfinished", "budget", "study", "selection", "commit", "config_hash", "runs", "source")
    both = both.fillna({**{name: "" for name in texts if name in both}, "n": 0, "trials": 1})
    first_seen = {name: place for place, name in enumerate(dict.fromkeys(both["benchmark"]))}
    return both.sort_values("benchmark", key=lambda column: column.map(first_seen), kind="stable", ignore_index=True)
