"""What the text benchmarks share: task folders become a stream under a scoring convention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from suite.benchmarks.stream import LabelSpace, Stream, TextTask
from suite.benchmarks.text_scores import TEXT_SCORES
from suite.data.prompt_files import TaskSplits, read_task
from suite.errors import ConfigError, DataError, read_each, require_known
from suite.files import entry_path
from suite.parts import BenchmarkConfig
from suite.registration import Entry
from suite.settings import Name


def _text_score(name: str) -> str:
    try:
        TEXT_SCORES.find(name)
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from None  # pydantic adds which task
    return name


TextMetric = Annotated[str, AfterValidator(_text_score)]
"""A name of ``TEXT_SCORES`` the score of which can be had."""

SUMMARIES: Mapping[str, tuple[str, ...]] = {
    "strict": ("trace.op", "trace.bwt", "learning_accuracy"),
    "trace": ("trace.op", "trace.bwt", "learning_accuracy"),
    "treelora": ("trace.op", "treelora.bwt", "treelora.all_average", "learning_accuracy"),
}


@dataclass(frozen=True)
class TextRecipe:
    """How one task is judged and trained: metric, longest generated answer in tokens, epochs."""

    metric: TextMetric
    max_new_tokens: int
    epochs: int = 1


class TextBenchmarkConfig(BenchmarkConfig):
    """Fields of every benchmark that reads ``<task>/{train,eval,test}.json``.

    Attributes:
        folder: where the task folders lie, below the data root; they may also lie directly in the data root.
        tasks: the tasks to learn, in this order; null = all.
        scoring: ``strict`` (stripped equality), ``trace`` (raw equality), ``treelora`` (prefix rule).
        max_new_tokens: longest generated answer of every task (512 in the TRACE release); null = each task's own.
        train_overlap: ``drop`` training rows whose prompt is a test prompt, or ``keep`` them as the releases do.
    """

    places: ClassVar[frozenset[str]] = frozenset({"folder"})
    chooses: ClassVar[frozenset[str]] = frozenset({"order", "tasks"})

    folder: str = "."
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    scoring: Literal["strict", "trace", "treelora"] = "strict"
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    train_overlap: Literal["drop", "keep"] = "drop"

    def recipes(self) -> Mapping[str, TextRecipe]:
        """Every task that the benchmark has."""
        raise TypeError(f"{type(self).__name__} defines no recipes()")

    @model_validator(mode="after")
    def _has_the_tasks(self) -> TextBenchmarkConfig:
        require_known("task of this benchmark", self.tasks or (), self.recipes(), where="benchmark.tasks")
        return self

    @property
    def restricted(self) -> bool:
        return self.tasks is not None

    def draws_on(self) -> Iterator[Entry]:
        """The scores of its tasks."""
        return (TEXT_SCORES.entries[recipe.metric] for recipe in self.recipes().values())

    def text_stream(self, data_root: Path, tasks: Sequence[str], setting: Mapping[str, Any]) -> Stream:
        """The stream of the config's ``tasks``, else of those given; its setting says what was dropped or held out."""
        recipes = self.recipes()
        names = self.tasks or tuple(tasks)
        splits = read_each(
            names, lambda name: self._read(find_task(data_root, self.folder, name)), where=self.name, field="benchmark.tasks"
        )
        notes = {name: found.note for name, found in splits.items() if found.note}
        return Stream(
            name=self.name,
            tasks=[text_task(name, splits[name], recipes[name], self.max_new_tokens) for name in names],
            protocol=LabelSpace.GENERATION,
            metrics=summary_metrics(self.scoring, len(names)),
            setting={
                **setting,
                **({"order": "given"} if self.tasks else {}),
                "scoring": self.scoring,
                **({"splits": notes} if notes else {}),
            },
            scoring=self.scoring,
        )

    def _read(self, folder: Path) -> TaskSplits:
        return read_task(folder, train_overlap=self.train_overlap)


def summary_metrics(scoring: str, tasks: int) -> tuple[str, ...]:
    """Metrics of a scoring convention; a stream of one task has no backward transfer."""
    return SUMMARIES[scoring] if tasks > 1 else ("trace.op",)


def text_task(name: str, splits: TaskSplits, recipe: TextRecipe, max_new_tokens: int | None) -> TextTask:
    """A task of the stream from its splits and its recipe."""
    return TextTask(
        name=name,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        metric=recipe.metric,
        max_new_tokens=max_new_tokens or recipe.max_new_tokens,
        epochs=recipe.epochs,
        notes=(splits.note,) if splits.note else (),
    )


def find_task(data_root: Path, folder: str, task: str) -> Path:
    """The task's folder: ``<data root>/<folder>/<task>``, or ``<data root>/<task>``.

    Raises:
        DataError: neither is there.
    """
    for place in (entry_path(data_root / folder, task), entry_path(data_root, task)):
        if place.is_dir():
            return place
    raise DataError(
        f"{data_root / folder}: has no folder '{task}' (nor has {data_root}); put the benchmark's task folders there, "
        "name the folder that holds them with --data-root (or CODYRA_DATA), or set benchmark.folder."
    )
