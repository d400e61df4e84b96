"""The page of single examples: counts as stored outcomes have them, contents within the page's size, texts that never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite.benchmarks.stream import ImageTask, LabelSpace, Stream, TextTask
from suite.data.examples import ImageExamples, TextExamples
from suite.hashing import text_hash
from suite.leaderboard.example_browser import example_page
from suite.leaderboard.report import report_sections
from suite.leaderboard.runs import RunSet

NASTY = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
COUNT = 30


def images(split: str) -> ImageExamples:
    pixels = np.random.default_rng(len(split)).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
    return ImageExamples(pixels, np.arange(COUNT) % 2, tuple(f"{split} {number}" for number in range(COUNT)))


def texts(split: str) -> TextExamples:
    numbers = range(COUNT)
    return TextExamples(tuple(f"{NASTY} {n}" for n in numbers), ("yes",) * COUNT, tuple(f"{split} {n}" for n in numbers))


@pytest.fixture
def stream() -> Stream:
    parts = ("train", "validation", "test")
    picture = ImageTask("t1", *map(images, parts), (NASTY, "cat"), ("{}",), ("{}",))
    text = TextTask("t2", *map(texts, parts), "accuracy", 4)
    return Stream("b", [picture, text], LabelSpace.TASK, ("zscl.last",))


@pytest.fixture
def runs(make_runs: Callable[..., RunSet], stream: Stream) -> RunSet:
    digests = [text_hash(task.test.ids)[:16] for task in stream.tasks]
    return make_runs(
        {"good": 0.8, "bad": 0.3},
        examples=COUNT,
        tasks=2,
        scoring="strict",
        item_digests={"validation": digests, "test": digests},
    )


def made(runs: RunSet, streams: Mapping[str, Stream], **limits: int) -> str:
    said = {f"test/2/{task}": [f"{NASTY} {n}" for n in range(COUNT)] for task in (0, 1)}
    return example_page(report_sections(runs), runs, streams, lambda record: said, back="report.html", made="today", **limits)


def test_a_stream_with_one_run_has_no_page(make_runs: Callable[..., RunSet]) -> None:
    assert made(make_runs({"alone": 0.5}), {}) == ""


def test_the_page_keeps_to_its_size(runs: RunSet, stream: Stream) -> None:
    whole, bare = made(runs, {"stream-0": stream}), made(runs, {})
    limit = (len(whole) + len(bare)) // 2
    page = made(runs, {"stream-0": stream}, largest=limit)
    assert len(bare) < len(page.encode()) <= limit
    assert page.count('"image"') > 0


def test_counts_are_those_of_the_outcomes_and_no_text_runs(browser: Any, runs: RunSet, stream: Stream, tmp_path: Path) -> None:
    file = tmp_path / "single.html"
    file.write_text(made(runs, {"stream-0": stream}))
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri() + "#stream-0")
    good, bad = (runs.last_outcomes(record) for record in runs.records)
    for task in (0, 1):
        one, other = (found["test", 2, task] for found in (good, bad))
        wanted = [one > other, one < other, (one == other) & (one == 100), (one == other) & (one < 100)]
        shown = page.locator("#counts tbody tr").nth(task).locator("button").all_inner_texts()
        assert shown == [str(int(which.sum())) for which in wanted]
        page.locator("#counts tbody tr").nth(task).locator("button").first.click()
        assert page.locator("#cards li").count() == wanted[0].sum()
    card = page.locator("#cards li").first
    assert NASTY in card.locator(".prompt").inner_text()
    assert "good" in card.inner_text() and "wrong" in card.inner_text()
    page.locator("#counts tbody tr").first.locator("button").first.click()
    assert page.locator("#cards img").first.evaluate("image => image.complete && image.naturalWidth") == 8
    page.get_by_label("Second row").select_option("0")
    assert page.locator("#counts tbody tr").first.locator("button").all_inner_texts()[:2] == ["0", "0"]
    assert page.evaluate("window.broken") is None
    assert problems == []
    page.close()
