"""The report in a real headless Chromium: sorting, filtering, keyboard, narrow screens, no network, nothing unescaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.config import RunConfig
from suite.leaderboard.figure_style import DARK
from suite.leaderboard.report import report_html, report_sections
from suite.leaderboard.report_pictures import follows_the_page
from suite.leaderboard.runs import RunSet
from suite.measuring.null_tuning import World, made_up_tuning
from suite.runs.record import Record
from suite.yaml_files import load_yaml

NASTY = "<script>window.broken = 1</script> _%&"


@pytest.fixture(scope="module")
def page_file(make_record: Callable[..., Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        make_record(
            method,
            seed,
            rows=[[50.0] * 3, [last, 50, 50], [last, last, 50], [last] * 3],
            run_id=f"{method}{seed}",
            settings_hash=method,
        )
        for method, last in (("codyra", 70.0), ("lora", 9.0), ("olora", 60.0), ("replay", 80.0))
        for seed in (0, 1)
    ]
    records.append(
        make_record("unfinished", 0, rows=[[50.0] * 3], run_id="u", settings_hash="u", status="stopped", reason="told to")
    )
    records.append(make_record(NASTY, 0, run_id="nasty", settings_hash="nasty", benchmark="other", study=NASTY, trial=0))
    file = tmp_path_factory.mktemp("page") / "report.html"
    tuning = made_up_tuning(World({"codyra": 0.45, "lora": 0.5, NASTY: 0.3}, {"codyra": 0.3}, trials=4), 0)
    file.write_text(report_html(RunSet(records), {}, made="today", tunings=[tuning]))
    return file


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else page.problems.append(request.url)
    )
    page.goto(page_file.as_uri())
    yield page
    assert page.problems == []
    context.close()


def first_column(page: Any) -> list[str]:
    cells = page.locator("section[data-benchmark=b] table.board").first.locator("tbody tr:visible .name")
    return [cell.inner_text() for cell in cells.all()]


def test_columns_sort_by_number_both_ways(page: Any) -> None:
    table = page.locator("section[data-benchmark=b] table.board").first
    head = table.locator("th", has_text="zscl.last").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert first_column(page) == ["replay", "codyra", "olora", "lora", "unfinished"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert first_column(page) == ["lora", "olora", "codyra", "replay", "unfinished"]  # what was not measured stays last
    name = table.locator("thead th").first
    name.locator("button").click()
    assert name.get_attribute("aria-sort") == "ascending"  # words begin with a, numbers with the largest
    assert first_column(page) == ["codyra", "lora", "olora", "replay", "unfinished"]
    assert head.get_attribute("aria-sort") == "none"


def test_filters_say_what_is_left(page: Any) -> None:
    page.get_by_label("Rows that contain").fill("lora")
    assert sorted(first_column(page)) == ["lora", "olora"]
    assert page.locator("#shown").inner_text() == "2 of 6 rows"
    assert not page.locator("section[data-benchmark=other]").is_visible()
    page.get_by_label("Rows that contain").fill("")
    page.get_by_label("Benchmark").select_option("other")
    assert not page.locator("section[data-benchmark=b]").is_visible()
    assert page.locator("#shown").inner_text() == "1 of 6 rows"
    page.get_by_label("Rows that contain").fill("nobody")
    assert page.get_by_text("No row holds what the filters ask for.").is_visible()


def test_rows_behind_the_best_can_be_hidden(browser: Any, make_runs: Callable[..., RunSet], tmp_path: Path) -> None:
    file = tmp_path / "standing.html"
    file.write_text(report_html(make_runs({"good": 0.9, "same": 0.9, "bad": 0.3}, seeds=2), {}, made="today"))
    page = browser.new_page()
    page.goto(file.as_uri())
    page.get_by_label("only the best").check()
    assert sorted(first_column(page)) == ["good", "same"]
    assert page.locator(".marked .tag").all_inner_texts() == ["best mean", "not separable from the best mean"]
    page.close()


def test_everything_is_reachable_by_keyboard(page: Any) -> None:
    page.locator("#words").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "zscl.last":
            break
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-sort')") == "descending"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(width: int, page: Any) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def open_all(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")


def test_pictures_are_drawn_and_described(page: Any) -> None:
    open_all(page)
    images = page.locator("figure img").all()
    assert images
    for image in images:
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") > 100
        assert image.get_attribute("alt")


def test_names_cannot_become_markup(page: Any, page_file: Path) -> None:
    open_all(page)
    assert page.evaluate("window.broken") is None
    assert NASTY in page.locator("section[data-benchmark=other]").inner_text()
    assert NASTY in page.locator("#studies").inner_text()
    assert "<script>window" not in page_file.read_text()


def test_a_study_without_a_finished_trial_is_said(make_record: Callable[..., Record]) -> None:
    text = report_html(RunSet([make_record(rows=[], status="failed", reason="nan", study="s", trial=0)]), {}, made="today")
    assert "Runs: 1 failed. No trial has finished." in text


def test_a_study_that_varied_nothing_has_no_slices(make_record: Callable[..., Record]) -> None:
    """The same trial before and after the code was changed."""
    records = [make_record(run_id=code, study="s", trial=0, code_version=code) for code in ("old", "new")]
    text = report_html(RunSet(records), {}, made="today")
    assert "study s: best validation value so far per trial" in text
    assert "every varied setting" not in text


def test_dollars_in_names_are_no_formulas(make_record: Callable[..., Record]) -> None:
    tasks = ["$x_{", "a$b$", "t3"]
    records = [
        make_record(method, 0, run_id=method, settings_hash=method, benchmark="$\\frac{", tasks=tasks)
        for method in ("one", "two")
    ]
    assert "$\\frac{: size of each" in report_html(RunSet(records), {}, made="today")


def test_nothing_is_loaded_from_anywhere(page_file: Path) -> None:
    """No reference to a file or host: pictures are data, styles and scripts are in the page."""
    text = page_file.read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#|\{)[^"'\s)]+""", text)
    assert "http" not in re.sub(r"data:image/[^\"]+|http-equiv", "", text)


def test_rows_say_what_was_left_out_and_open_their_settings(page: Any) -> None:
    section = page.locator("section[data-benchmark=b]")
    assert "seed 0 stopped after 0 of 3" in section.locator("tr", has_text="unfinished").last.inner_text()
    details = section.locator("details.row").first
    assert details.get_attribute("open") is not None
    assert "batch_size: 4" in details.inner_text()
    assert details.locator("td.learned").all_inner_texts() == ["80", "80", "80"]
    section.locator("summary", has_text="codyra").press("Enter")
    assert section.locator("details.row", has_text="codyra").first.get_attribute("open") is not None


def test_other_data_is_another_table(make_record: Callable[..., Record]) -> None:
    text = report_html(RunSet([make_record(), make_record(seed=1, run_id="x", data_fingerprint="e" * 64)]), {}, made="today")
    assert ("data " + "f" * 12 in text) and ("data " + "e" * 12 in text)
    assert "streams: 2" in text


def test_published_numbers_stand_beside_own_ones(make_record: Callable[..., Record]) -> None:
    example = Path(__file__).parents[3] / "suite" / "workflows" / "examples" / "xtail_codyra_release.yaml"
    config = RunConfig.model_validate(load_yaml(example)).resolved()
    about: dict[str, Any] = {"benchmark": "xtail", "setting": {"order": "I", "shots": 16, "data": "complete"}}
    released = make_record("codyra", config=config, **about)
    hurried = make_record(
        "codyra", config={**config, "training": {**config["training"], "steps": 10}}, run_id="hurried", **about
    )
    for run, said in ((released, "outside tolerance"), (hurried, "training.steps 10 (published 500)")):
        text = report_html(RunSet([run]), {}, made="today")
        assert said in text
        assert "second-hand" in text
        assert "decide for a whole test batch" in text
    assert "outside tolerance" not in text


def test_a_dark_page_is_asked_for_by_the_system(browser: Any, page_file: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(page_file.as_uri())
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(21, 23, 27)"]


def test_the_page_begins_with_who_wins(make_runs: Callable[..., RunSet]) -> None:
    runs = make_runs({"good": 0.9, "bad": 0.3}, seeds=2)
    text = html.unescape(report_html(runs, {}, made="today", project="my thesis"))
    assert "<title>my thesis: Which of good and bad learns b best? 2026-01-01</title>" in text
    (section,) = report_sections(runs)
    assert text.index("Who wins") < text.index(section.winner.sentence) < text.index('class="stream"')
    heads = [head.text for head in section.columns]
    best, other = (dict(zip(heads[1:], row.cells, strict=True)) for row in section.rows)
    assert best["minus best"].text == "-"
    low, high = (float(bound) for bound in other["95 % interval"].text.split(" to "))
    assert low < other["zscl.last"].value < high
    assert other["minus best"].value == pytest.approx(other["zscl.last"].value - best["zscl.last"].value)


def test_paper_keeps_all_columns(page: Any) -> None:
    """At the width of A4 across, no table is wider than its frame, and what was folded is open."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1047, "height": 700})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    wide = "[...document.querySelectorAll('table')].filter(one => one.offsetWidth > one.parentElement.clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_heads_say_what_they_mean_to_the_keyboard_too(page: Any) -> None:
    page.locator("section[data-benchmark=b] table.board").first.locator("th button", has_text="zscl.last").focus()
    assert "mean over tasks after the last one" in page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_pictures_have_other_colours_on_a_dark_page() -> None:
    font = "font-size: 8px; font-family: 'DejaVu Sans', sans-serif"
    texts = f'<text style="{font}">0.12345</text>\n <text style="{font}; text-anchor: end">a; b</text>'
    drawn = follows_the_page(f'<svg width="1"><path d="M 1.23456 2" style="fill: #0072b2"/>{texts}</svg>')
    assert 'd="M 1.23 2" style="fill: var(--c0)"' in drawn
    assert '<text style="font-size: 8px">0.12345</text><text style="font-size: 8px; text-anchor: end">a; b</text>' in drawn
    assert f"--c0:{DARK['#0072B2']};" in drawn.partition("prefers-color-scheme:dark")[2]


def test_a_page_of_a_hundred_runs_is_small_and_quick(browser: Any, make_record: Callable[..., Record], tmp_path: Path) -> None:
    records = [
        make_record("codyra", seed, run_id=f"{row}-{seed}", settings_hash=f"{row:08d}", benchmark=f"b{row % 4}")
        for row in range(20)
        for seed in range(5)
    ]
    file = tmp_path / "large.html"
    file.write_text(report_html(RunSet(records), {}, made="today"))
    assert file.stat().st_size < 5 * 2**20
    page = browser.new_page()
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    page.locator("#words").fill("codyra")
    assert page.locator("#shown").inner_text() == "20 of 20 rows"
    assert page.evaluate("document.querySelectorAll('*').length") < 30_000  # what a browser lays out; see dev perf leaderboard
    page.close()
