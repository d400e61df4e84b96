"""The standard four-task text benchmark of O-LoRA: dbpedia, amazon, yahoo, agnews in three orders.

Source: arXiv 2310.14152; cmnfriend/O-LoRA (commit 07117e1) scripts/order_{1,2,3}.sh. Read in the prompt and answer
layout of the TreeLoRA and MoRAM copies, whose answers are label names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from suite.benchmarks.stream import Stream
from suite.benchmarks.text_tasks import TextBenchmarkConfig, TextRecipe
from suite.benchmarks.trace import BUDGET, TraceConfig

ORDERS: dict[int, tuple[str, ...]] = {
    1: ("dbpedia", "amazon", "yahoo", "agnews"),
    2: ("dbpedia", "amazon", "agnews", "yahoo"),
    3: ("yahoo", "amazon", "agnews", "dbpedia"),
}
RECIPES = {name: TextRecipe("accuracy", 50) for name in ORDERS[1]}  # the scripts' target length


class StandardCLConfig(TextBenchmarkConfig):
    """One epoch per task, as in the TreeLoRA scripts for these data sets."""

    backbone: ClassVar[Mapping[str, Any]] = TraceConfig.backbone
    budget: ClassVar[Mapping[str, Any]] = BUDGET

    name: Literal["standard-cl"] = "standard-cl"
    folder: str = "LLM-CL-Benchmark_500"
    order: Literal[1, 2, 3] = 1

    def recipes(self) -> Mapping[str, TextRecipe]:
        return RECIPES

    def build(self, data_root: Path) -> Stream:
        return self.text_stream(data_root, ORDERS[self.order], {"order": self.order})
