"""``text-folders``: a stream over your own tasks, laid out ``<task>/{train,eval,test}.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from suite.benchmarks.stream import Stream
from suite.benchmarks.text_tasks import TextBenchmarkConfig, TextMetric, TextRecipe
from suite.errors import DataError, require_known
from suite.files import entries, entry_path
from suite.settings import Name


class TextFoldersConfig(TextBenchmarkConfig):
    """Every folder with a train.json is a task; ``metrics`` says how each is judged.

    Attributes:
        metrics: task -> metric; its order is the order of the stream unless ``tasks`` gives another.
        answer_tokens: longest generated answer of a task when ``max_new_tokens`` is null.
        epochs: passes over every task's rows when the budget sets neither steps nor epochs.
    """

    backbone: ClassVar[Mapping[str, Any]] = {"name": "mini-lm"}
    budget: ClassVar[Mapping[str, Any]] = {"batch_size": 16, "lr": 2e-3}

    name: Literal["text-folders"] = "text-folders"
    metrics: Annotated[dict[Name, TextMetric], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1)] = 3
    answer_tokens: Annotated[int, Field(ge=1)] = 64

    def recipes(self) -> Mapping[str, TextRecipe]:
        return {name: TextRecipe(metric, self.answer_tokens, self.epochs) for name, metric in self.metrics.items()}

    def build(self, data_root: Path) -> Stream:
        root = data_root / self.folder
        if not root.is_dir():
            raise DataError(
                f"{root}: is not a folder; name the data root with --data-root and set benchmark.folder to one in it that holds <task>/train.json."
            )
        found = [entry.name for entry in entries(root) if (entry.path / "train.json").is_file()]
        missing = [name for name in self.metrics if not entry_path(root, name).is_dir()]
        require_known(f"task folder below {root}", missing, found, where="benchmark.metrics")
        return self.text_stream(data_root, tuple(self.metrics), {})
