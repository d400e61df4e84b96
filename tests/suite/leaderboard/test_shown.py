"""What a board and a run look like on a terminal: headline columns and marks are there, headings tell streams apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from suite.cli.board import print_frame
from suite.cli.summary import print_run
from suite.leaderboard.table import leaderboard_frame
from suite.runs.record import Record

Show = Callable[..., list[str]]


def test_the_leaderboard_keeps_its_headline_columns_and_marks(make_record: Callable[..., Record], show: Show) -> None:
    metrics = ["zscl.transfer", "zscl.average", "zscl.last", "codyra.forgetting", "gem.bwt"]
    frame = leaderboard_frame(
        [make_record("zero-shot", metrics=metrics), make_record("a-method-of-a-long-name", metrics=metrics)]
    )
    frame["standing"] = ["best", "not separable"]
    frame["trainable_parameters"] = 4_425_984.0
    for width in (80, 100, 120):
        lines = show(lambda: print_frame(frame, None), width)
        text = "\n".join(lines)
        assert max(map(len, lines)) <= width
        assert all(part in text for part in ("transfer", "average", "last", "forgetting", "bwt", "◆", "◇", "83.3"))
        (head,) = [line for line in lines if "average" in line]
        assert re.search(r"\bn\b", head)
        assert ("effective" in head) == ("no-signal" in head)
    lines = show(lambda: print_frame(frame, None), 80)
    words = re.sub(r"\s+", " ", " ".join(lines))
    assert "not shown in 80 columns:" in words and "--csv FILE" in words


def test_headings_tell_tasks_and_their_order_apart(make_record: Callable[..., Record], show: Show) -> None:
    streams = {"one": ["a", "b", "c"], "two": ["c", "b", "a"], "three": ["a", "b"]}
    records = [
        make_record(
            tasks=tasks, rows=[[50.0] * len(tasks)] * (len(tasks) + 1), run_id=name, data_fingerprint=name, setting={"shots": 4}
        )
        for name, tasks in streams.items()
    ]
    lines = show(lambda: print_frame(leaderboard_frame(records), None), None)
    assert [line for line in lines if line.startswith("3 tasks") or line.startswith("2 tasks")] == [
        "3 tasks: a, b, c",
        "3 tasks: c, b, a",
        "2 tasks: a, b",
    ]


def test_a_stream_of_one_task_shows_what_it_leaves_undefined(
    make_record: Callable[..., Record], show: Show, tmp_path: Path
) -> None:
    record = make_record(tasks=["only"], rows=[[50.0], [90.0]], metrics=["zscl.transfer", "zscl.last"])
    lines = show(lambda: print_run(record, tmp_path), None)
    assert "zscl.transfer -, zscl.last 90.0" in lines
    assert any(line.startswith("undefined: zscl.transfer (the stream has 1 task") for line in lines)
    frame = leaderboard_frame([record])
    assert frame["undefined"].tolist() == ["zscl.transfer"]
    lines = show(lambda: print_frame(frame, None), 80)
    assert "undefined for these tasks: zscl.transfer" in lines
    assert any(re.match(r"codyra +- +90\.0", line) for line in lines)


def test_a_run_is_named_and_says_when_it_was_found(make_record: Callable[..., Record], show: Show, tmp_path: Path) -> None:
    record = make_record("lora", seed=3)
    first = show(lambda: print_run(record, tmp_path), None)
    assert all(part in first[0] for part in ("lora", "seed 3", record.run_id))
    assert not any("found" in line for line in first)
    narrow = show(lambda: print_run(record, Path("x")), 60)
    names = re.findall(r"[a-z]+\.[a-z_]+ -?\d", " ".join(first))
    assert [
        word for word in names if word.split()[0] not in " ".join(narrow)
    ] == []  # lines break between words, not inside a name
    assert max(map(len, narrow)) <= 60
    again = show(lambda: print_run(record, tmp_path, found=True), None)
    assert any(line.startswith("found, not trained") for line in again)
