"""``suite.plots``: axes of the caller's or of a new figure, with what the records hold, and one sentence for what is no run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from suite import plots
from suite.config import RunConfig
from suite.errors import SuiteError
from suite.runs.record import Record
from trainables.run import RunContext, execute

mpl.use("agg")
anything: Any = plots


@pytest.fixture(autouse=True)
def closed() -> Any:
    yield
    plt.close("all")


@pytest.fixture
def record(make_config: Callable[..., RunConfig], run_context: RunContext) -> Record:
    return execute(make_config("zero-shot"), run_context)


def test_a_matrix_shows_the_cells_of_its_split(record: Record) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.matrix(record, axes=left) is left
    assert plots.matrix(record, "validation", axes=right) is right
    for axes, cells in ((left, record.test), (right, record.validation)):
        shown = [text.get_text() for text in axes.texts]
        assert shown == [f"{value:.0f}" for row in cells for value in row if value is not None]
    assert plots.matrix(record).figure is not figure


def test_tasks_have_a_line_per_method(record: Record) -> None:
    grid = plots.tasks([record])
    drawn = [axes for axes in grid.flat if axes.get_visible()]
    assert len(drawn) == len(record.tasks)
    for column, axes in enumerate(drawn):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), [row[column] for row in record.test])


def test_what_cannot_be_drawn_is_said(record: Record) -> None:
    other = record.model_copy(update={"tasks": [*record.tasks[:-1], "other"]})
    calls: dict[str, Callable[[], object]] = {
        "plots.matrix: 'run' is not a run": lambda: anything.matrix("run"),
        "plots.matrix: split: 'train' is not a split": lambda: anything.matrix(record, "train"),
        "no run is given": lambda: anything.tasks([]),
        "different tasks": lambda: anything.tasks([record, other]),
        "is not finished": lambda: anything.tasks([record.model_copy(update={"status": "stopped"})]),
        "is not a study": lambda: anything.study(record),
        "is not a tuning": lambda: anything.tuning(record),
    }
    for message, call in calls.items():
        with pytest.raises(SuiteError, match=message):
            call()
