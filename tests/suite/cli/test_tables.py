"""Tables at a given width: whatever is too wide is wrapped, left out by name or continued below; no digit is ever cut."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd
import pytest

from suite.cli.board import show_frame
from suite.cli.summary import matrix_sheet
from suite.cli.tables import Column, Sheet, print_sheet

MTIL = [
    "aircraft",
    "caltech101",
    "cifar100",
    "describable_textures",
    "eurosat",
    "flowers",
    "food101",
    "mnist",
    "oxford_pets",
    "cars",
    "sun397",
]
Show = Callable[..., list[str]]


@pytest.mark.parametrize("width", [80, 120, 200, None])
def test_a_matrix_of_eleven_tasks_is_whole(width: int | None, show: Show) -> None:
    lines = show(lambda: print_sheet(matrix_sheet([[100.0] * 11] * 12, MTIL, "t")), width)
    assert sum(line.count(" 100.0") for line in lines) == 12 * 11
    assert len([line for line in lines if line.count(" 100.0") == 11]) == 12  # one piece
    assert not any("…" in line for line in lines)
    if width is not None:
        assert max(map(len, lines)) <= width


def test_more_tasks_than_fit_go_on_below(show: Show) -> None:
    tasks = [f"task {number}" for number in range(20)]
    lines = show(lambda: print_sheet(matrix_sheet([[100.0] * 20] * 21, tasks, "t")), 80)
    assert sum(line.count(" 100.0") for line in lines) == 21 * 20
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if line.startswith("after")]) == 2


@pytest.mark.parametrize("width", [24, 40, 80])
def test_what_was_left_out_is_named_and_numbers_stay_whole(width: int, show: Show) -> None:
    columns = [
        Column("a name", wraps=True),
        *(Column(f"must {n}") for n in range(4)),
        *(Column(f"may {n}", optional=n + 1) for n in range(4)),
    ]
    sheet = Sheet(
        "title", columns, [["a long name [of] it all", *["12,345.67"] * 8]], notes=["note"], elsewhere="--csv has them"
    )
    text = " ".join(show(lambda: print_sheet(sheet), width))
    words = re.sub(r"\s+", " ", text)
    whole = text.count("12,345.67")
    left_out = re.search(rf"not shown in {width} columns: ([^;]*); --csv has them", words)
    assert left_out is not None
    assert whole == 8 - len(left_out[1].split(","))
    assert whole >= 4 and left_out[1].split(", ")[-1] == "may 3"
    assert "[of]" in text and "…" not in text


def test_columns_that_say_something_together_leave_together(show: Show) -> None:
    columns = [
        Column("name"),
        Column("kept"),
        *(Column(head, optional=2) for head in ("rank", "no-signal")),
        Column("n", optional=1),
    ]
    sheet = Sheet("title", columns, [["x", *["12,345"] * 4]])
    assert "not shown in 30 columns: rank, no-signal; " in " ".join(" ".join(show(lambda: print_sheet(sheet), 30)).split())


def test_a_table_that_fits_leaves_nothing_out(show: Show) -> None:
    sheet = Sheet("title", [Column("name", wraps=True), Column("n", optional=1)], [["x", "1"]])
    assert not any("not shown" in line for line in show(lambda: print_sheet(sheet), 80))
    wide = Sheet(
        "title", [Column("name", wraps=True), *(Column("n", optional=1) for _ in range(99))], [["x", *["12345.6"] * 99]]
    )
    (row,) = [line for line in show(lambda: print_sheet(wide), None) if line.startswith("x")]
    assert row.count("12345.6") == 99


def test_counts_keep_every_digit(show: Show) -> None:
    frame = pd.DataFrame({"row": ["a"], "count": [12345.0], "share": [0.123456], "none": [float("nan")]})
    assert show(lambda: show_frame(frame, "t"), 80)[-2].split() == ["a", "12345", "0.1235", "-"]
