"""``mini-trace``: an embedded eight-task text stream in TRACE's format, for demos and tests; no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from suite.benchmarks.stream import LabelSpace, Stream, TextTask
from suite.benchmarks.text_tasks import summary_metrics
from suite.benchmarks.trace import ORDERS, RECIPES
from suite.data.drawn_text import FRAMES, draw_rows
from suite.data.examples import Split
from suite.data.prompt_files import examples_of
from suite.errors import require_known
from suite.parts import BenchmarkConfig
from suite.randomness import numpy_generator

COUNTS: Mapping[Split, int] = MappingProxyType({"train": 160, "validation": 24, "test": 48})
MAX_NEW_TOKENS = 16


class MiniTraceConfig(BenchmarkConfig):
    """One drawn task per TRACE task, with its kind of answer and its metric.

    Attributes:
        order: 1 = TRACE's canonical order, 2 = that of its ablation.
        tasks: which tasks, in this order; null = all, in the order 1 or 2.
        scoring: ``strict`` (stripped equality), ``trace`` (raw equality), ``treelora`` (prefix rule).
        draw_seed: which rows are drawn; not the run's seed, so that seeds of a comparison share the data.
    """

    backbone: ClassVar[Mapping[str, Any]] = MappingProxyType({"name": "mini-lm"})
    budget: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 100, "batch_size": 8, "lr": 2e-3})
    chooses: ClassVar[frozenset[str]] = frozenset({"order", "tasks"})

    name: Literal["mini-trace"] = "mini-trace"
    order: Literal[1, 2] = 1
    tasks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    scoring: Literal["strict", "trace", "treelora"] = "strict"
    draw_seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("tasks")
    @classmethod
    def _has_the_tasks(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        require_known("task of mini-trace", names or (), FRAMES, where="benchmark.tasks")
        return names

    def build(self, data_root: Path) -> Stream:
        names = self.tasks or ORDERS[self.order]
        order = "given" if self.tasks else self.order
        return Stream(
            name=self.name,
            tasks=[drawn_task(name, self.draw_seed) for name in names],
            protocol=LabelSpace.GENERATION,
            metrics=summary_metrics(self.scoring, len(names)),
            setting={"order": order, "tasks": len(names), "scoring": self.scoring},
            scoring=self.scoring,
        )


def drawn_task(name: str, draw_seed: int) -> TextTask:
    """All splits of one drawn task; their prompts are distinct."""
    rows = draw_rows(name, sum(COUNTS.values()), numpy_generator("mini-trace", name, draw_seed))
    splits, start = {}, 0
    for split, count in COUNTS.items():
        splits[split] = examples_of(name, split, rows[start : start + count])
        start += count
    return TextTask(
        name=name,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        metric=RECIPES[name].metric,
        max_new_tokens=MAX_NEW_TOKENS,
        epochs=RECIPES[name].epochs,
    )
