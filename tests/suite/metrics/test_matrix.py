"""AccuracyMatrix: shape, range, regions, plain lists."""

from __future__ import annotations

import json

import numpy as np
import pytest

from suite.counting import counted
from suite.errors import SuiteError
from suite.metrics.matrix import REGIONS, AccuracyMatrix, region_mask, require_measured

ROWS: list[list[float | None]] = [[10, 20, 30], [80, 60, 40], [84, 90, 50], [70, 85, 95]]
TASKS = ("a", "b", "c")


def test_just_learned_is_one_row_below_the_column() -> None:
    matrix = AccuracyMatrix.from_lists(ROWS, TASKS)
    assert [matrix.values[j + 1, j] for j in range(3)] == [80, 90, 95]
    assert matrix.values[region_mask("diagonal", 3)].tolist() == [80, 90, 95]


@pytest.mark.parametrize(
    ("region", "cells"),
    [
        ("untouched_row", [(0, 0), (0, 1), (0, 2)]),
        ("above_diagonal", [(1, 1), (1, 2), (2, 2)]),
        ("diagonal", [(1, 0), (2, 1), (3, 2)]),
        ("on_and_below_diagonal", [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]),
        ("last_row", [(3, 0), (3, 1), (3, 2)]),
        ("all_learned", [(i, j) for i in (1, 2, 3) for j in range(3)]),
    ],
)
def test_regions(region, cells) -> None:
    assert [tuple(cell) for cell in np.argwhere(region_mask(region, 3)).tolist()] == cells


def test_every_region_needs_exactly_its_own_cells() -> None:
    for region in REGIONS:
        mask = region_mask(region, 3)
        for row, column in np.ndindex(4, 3):
            values = np.array(ROWS, dtype=float)
            values[row, column] = np.nan
            matrix = AccuracyMatrix(values, TASKS)
            if mask[row, column]:
                with pytest.raises(SuiteError, match=f"after {counted(row, 'task')} on '{TASKS[column]}' was not measured"):
                    require_measured(matrix, region)
            else:
                assert require_measured(matrix, region) is matrix.values


def test_first_missing_cell_is_named() -> None:
    matrix = AccuracyMatrix.from_lists([[None] * 3, [80, None, None], [84, 90, None], [70, 85, 95]], TASKS)
    with pytest.raises(SuiteError, match="after 1 task on 'b'"):
        require_measured(matrix, "above_diagonal")


def test_values_are_a_read_only_copy() -> None:
    source = np.array(ROWS, dtype=float)
    matrix = AccuracyMatrix(source, TASKS)
    source[1, 0] = 1.0
    assert matrix.values[1, 0] == 80
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[1, 0] = 1.0


def test_stored_cells_come_back_without_rounding() -> None:
    rows: list[list[float | None]] = [[None, 0.1 + 0.2], [100.0, None], [0.0, 200 / 3]]
    matrix = AccuracyMatrix.from_lists(json.loads(json.dumps(rows)), ("x", "y"))
    np.testing.assert_array_equal(matrix.values, np.array(rows, dtype=float))


@pytest.mark.parametrize(
    ("values", "tasks", "message"),
    [
        (np.zeros((3, 3)), TASKS, r"shape \(3, 3\) does not fit 3 tasks; use \(4, 3\)"),
        (np.zeros((1, 0)), (), "there are no tasks"),
        (np.full((2, 1), 100.5), ("a",), "100.5 after 0 tasks on 'a'"),
        (np.array([[0.0], [-0.1]]), ("a",), "-0.1 after 1 task on 'a'"),
        (np.array([[0.0], [np.inf]]), ("a",), "inf after 1 task"),
        (np.zeros((3, 2)), ("a", "a"), "'a' is empty or appears twice"),
        (np.zeros((2, 1)), ("",), "'' is empty"),
    ],
)
def test_bad_matrices_are_refused(values, tasks, message) -> None:
    with pytest.raises(SuiteError, match=message):
        AccuracyMatrix(values, tasks)


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(SuiteError, match="row 1 has 1 cells for 2 tasks"):
        AccuracyMatrix.from_lists([[1, 2], [1], [1, 2]], ("a", "b"))


def test_unknown_region_offers_the_nearest() -> None:
    with pytest.raises(SuiteError, match="nearest: 'diagonal'"):
        region_mask("diagnal", 3)  # type: ignore[arg-type]
