"""Published numbers beside own rows: marked as such, with their source and its grade, never averaged with own runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from suite.leaderboard.protocols import SECOND_HAND, published_sources

PUBLISHED = "published"


@dataclass(frozen=True)
class Ledger:
    """Which rows of which file belong to a benchmark of the suite.

    Attributes:
        settings: the printed settings that are this benchmark, word for word: a longer one is another.
        metrics: printed name -> metric of ``suite.metrics.conventions`` it corresponds to.
        own: what the setting of an own run must be to be comparable.
        remark: what must be known about all of these rows, shown beside them.
    """

    files: tuple[str, ...]
    benchmark: str
    settings: tuple[str, ...]
    metrics: Mapping[str, str]
    own: Mapping[str, str]
    remark: str = ""


ZSCL = {"Transfer": "zscl.transfer", "Average": "zscl.average", "Last": "zscl.last"}
TRACE = {"OP": "trace.op", "BWT": "trace.bwt"}
# The CoDyRA page's "Forgetting" on TRACE and the MoRAM page's "BWT" without sign, equal values, fit TreeLoRA's code (clipped, divided
# by T); on X-TAIL the convention is not stated.
TREELORA = {"OP": "trace.op", "Forgetting": "treelora.forgetting", "BWT_abs": "treelora.forgetting"}
# Pooled over the test rows: 7600 of each of the four tasks, hence their plain mean.
POOLED = {"exact_match_pooled_over_samples": "trace.op"}
WHOLE_BATCH = "DIKI, DPW and MoE-Adapters decide for a whole test batch, which holds one task only, not image by image"
SECOND_HAND_MTIL = "clip_mtil_secondhand_2026.csv"
XTAIL_SETTINGS = ("16-shot", *(f"16-shot ({place} does not print the shot count)" for place in ("page", "README")))


def _images(shots: str) -> dict[str, str]:
    return {"shots": shots, "data": "complete"}


LEDGERS: Mapping[str, Ledger] = MappingProxyType(
    {
        "mtil": Ledger(("clip_mtil_fullshot.csv", SECOND_HAND_MTIL), "MTIL", ("full-shot",), ZSCL, _images("all"), WHOLE_BATCH),
        "mtil-5shot": Ledger(
            ("clip_codyra_project_page.csv", SECOND_HAND_MTIL), "MTIL", ("5-shot",), ZSCL, _images("5"),
            "the CoDyRA page publishes neither splits nor prompts of its 5-shot MTIL; rows of other methods are taken over from elsewhere",
        ),
        "mtil-16shot": Ledger(
            ("clip_mtil_16shot.csv",), "MTIL", ("16-shot (MTIL-FS; DIKI and MoE-Adapters re-run by the DPW authors)",), ZSCL, _images("16"), WHOLE_BATCH,
        ),
        "xtail": Ledger(("clip_xtail.csv", "clip_codyra_project_page.csv"), "X-TAIL", XTAIL_SETTINGS, ZSCL, _images("16"), WHOLE_BATCH),
        "trace": Ledger(
            ("trace.csv",), "TRACE",
            ("5000 train/task; standard order; fraction", "5000 train/task; standard order; percent"), TRACE, {"scoring": "trace"},
        ),
        "trace-500": Ledger(
            ("trace.csv",), "TRACE", ("8 tasks standard order; mean of 3 runs; percent",), TREELORA, {"scoring": "treelora"},
            "the baselines equal TreeLoRA's own table, so its protocol (500 rows a task, T = 0.1) is very probably that of these rows",
        ),
        "standard-cl": Ledger(
            ("standard_cl_olora_logs.csv",), "StandardCL", ("order 1 (dbpedia,amazon,yahoo,agnews)",), POOLED, {"order": "1"},
            "T5-large; answers are compared without case and punctuation, which is no rule of this suite",
        ),
    }
)  # fmt: skip
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
        "T5-large": "t5-large",
    }
)


def published_values(benchmark: str) -> pd.DataFrame:
    """Published means of a benchmark of the suite, one row per value: setting, order, backbone, method, metric, value in
    percent, source, its grade, doubt (why the cell is suspected; usually empty); empty when nothing is shipped for it.
    """
    columns = ["setting", "order", "backbone", "method", "metric", "value", "source", "grade", "doubt"]
    if benchmark not in LEDGERS:
        return pd.DataFrame(columns=columns)
    ledger = LEDGERS[benchmark]
    table = pd.concat([_read(file) for file in ledger.files], ignore_index=True)
    fitting = table["setting"].isin(ledger.settings) & (table["benchmark"] == ledger.benchmark)
    chosen = table[fitting & table["metric"].isin(ledger.metrics) & table["part"].isin(("mean", "all"))].copy()
    chosen["metric"] = chosen["metric"].map(dict(ledger.metrics))
    fractions = chosen["setting"].str.endswith("fraction")
    chosen["value"] = chosen["value"].where(~fractions, chosen["value"] * 100.0)
    chosen["setting"] = chosen["setting"].str.removesuffix("; fraction").str.removesuffix("; percent")
    rows = chosen[["source", "backbone", "method"]].to_dict("records")
    known = published_sources()
    chosen["grade"] = [known.grade(row["source"], row["method"]) for row in rows]
    chosen["doubt"] = [known.doubt(benchmark, row["backbone"], row["method"]) for row in rows]
    return chosen[columns].reset_index(drop=True)


def order_of(value: Mapping[Any, Any]) -> str:
    """The order of a row of ``published_values``; where none is printed, as with TRACE, the standard one."""
    return str(value["order"]).split(" ")[0] or "1"


def published_frame(benchmarks: Iterable[str]) -> pd.DataFrame:
    """Rows of ``leaderboard_frame``'s shape for the benchmarks that have published means; ``source`` says where from."""
    parts = [_rows(name) for name in dict.fromkeys(benchmarks) if name in LEDGERS]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rows(name: str) -> pd.DataFrame:
    chosen = published_values(name)
    chosen["setting"] += chosen["order"].map(lambda order: f", order {order}" if order else "")
    wide = chosen.pivot_table(
        index=["setting", "backbone", "method", "source", "grade", "doubt"], columns="metric", values="value", aggfunc="first"
    ).reset_index()
    wide.insert(0, "benchmark", name)
    second_hand = wide["grade"] == SECOND_HAND
    wide["method"] += pd.Series(np.where(second_hand, " (published, second-hand)", " (published)"), index=wide.index)
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
    texts = (
        *("standing", "seeds", "orders", "tasks", "undefined", "unfinished", "budget", "judged_in", "study", "selection"),
        *("commit", "config_hash", "runs", "left_out", "tags", "source", "grade", "doubt"),
    )
    blank = {name: "" for name in texts if name in both}
    both = both.astype(dict.fromkeys(blank, object)).fillna({**blank, "n": 0, "trials": 1})
    first_seen = {name: place for place, name in enumerate(dict.fromkeys(both["benchmark"]))}
    return both.sort_values("benchmark", key=lambda column: column.map(first_seen), kind="stable", ignore_index=True)


def source_notes(part: pd.DataFrame) -> list[str]:
    """Lines below a table with published rows: where each was printed and how it was read, what is doubted, what holds for all."""
    if "source" not in part:
        return []
    published = part[part["source"] != ""]
    graded = sorted(set(zip(published["source"], published["grade"], strict=True)))
    doubts = [f"{row['method']}, {row['backbone']}: {row['doubt']}" for row in published.to_dict("records") if row["doubt"]]
    remarks = [LEDGERS[name].remark for name in dict.fromkeys(published["benchmark"]) if LEDGERS[name].remark]
    return [*(f"source ({grade}): {source}" for source, grade in graded), *dict.fromkeys(doubts), *remarks]


def format_notes(part: pd.DataFrame) -> list[str]:
    """In which number formats own rows were evaluated, where they are several or stand beside published ones."""
    own = part[part["source"] == ""] if "source" in part else part
    judged = own.groupby("judged_in", sort=True)["method"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    is_beside = "source" in part and len(own) < len(part)
    if judged.empty or (len(judged) == 1 and not is_beside):
        return []
    said = f"all {judged.index[0]}" if len(judged) == 1 else ", ".join(f"{name} ({names})" for name, names in judged.items())
    published = "; the released CLIP code of CoDyRA and ZSCL fp32, others do not print it" if is_beside else ""
    return [f"number format of the evaluation: own rows {said}{published}"]
