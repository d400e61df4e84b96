"""TRACE: eight text tasks, in the 5000-row and the 500-row release.

Source: arXiv 2310.06762; BeyonderXX/TRACE (commit 462e39f) scripts/train_lora.sh for orders, epochs and budget. Longest
answers are this suite's; the release generates up to 512 tokens for every task (``max_new_tokens: 512``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from suite.benchmarks.stream import Stream
from suite.benchmarks.text_tasks import TextBenchmarkConfig, TextRecipe

RECIPES: dict[str, TextRecipe] = {
    "C-STANCE": TextRecipe("accuracy", 8, 5),
    "FOMC": TextRecipe("accuracy", 8, 3),
    "MeetingBank": TextRecipe("rouge-l", 320, 7),
    "Py150": TextRecipe("similarity", 128, 5),
    "ScienceQA": TextRecipe("letter", 16, 3),  # only the letter is scored
    "NumGLUE-cm": TextRecipe("accuracy", 16, 5),
    "NumGLUE-ds": TextRecipe("accuracy", 16, 5),
    "20Minuten": TextRecipe("sari", 256, 7),
}
ORDERS: dict[int, tuple[str, ...]] = {
    1: tuple(RECIPES),
    2: ("NumGLUE-cm", "NumGLUE-ds", "FOMC", "20Minuten", "C-STANCE", "Py150", "MeetingBank", "ScienceQA"),
}
BUDGET: dict[str, Any] = {
    "batch_size": 32,
    "micro_batch_size": 4,
    "lr": 1e-4,
    "schedule": "constant",
    "beta2": 0.95,
    "clip_norm": 1.0,
    "precision": "bf16",
}


class TraceConfig(TextBenchmarkConfig):
    """The 5000-row release; ``order`` 1 is the canonical one, 2 that of the paper's ablation (Table 26)."""

    backbone: ClassVar[Mapping[str, Any]] = {"name": "causal-lm", "model": "meta-llama/Llama-3.2-1B-Instruct"}
    budget: ClassVar[Mapping[str, Any]] = BUDGET

    name: Literal["trace"] = "trace"
    folder: str = "LLM-CL-Benchmark_5000"
    order: Literal[1, 2] = 1

    def recipes(self) -> Mapping[str, TextRecipe]:
        return RECIPES

    def build(self, data_root: Path) -> Stream:
        return self.text_stream(data_root, ORDERS[self.order], {"order": self.order})


class Trace500Config(TextBenchmarkConfig):
    """The 500-row release that TreeLoRA, MoRAM and the CoDyRA page use."""

    backbone: ClassVar[Mapping[str, Any]] = TraceConfig.backbone
    budget: ClassVar[Mapping[str, Any]] = BUDGET

    name: Literal["trace-500"] = "trace-500"
    folder: str = "LLM-CL-Benchmark_500"
    order: Literal[1, 2] = 1

    def recipes(self) -> Mapping[str, TextRecipe]:
        return RECIPES

    def build(self, data_root: Path) -> Stream:
        return self.text_stream(data_root, ORDERS[self.order], {"order": self.order})
