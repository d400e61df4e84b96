"""The report in a real headless Chromium: sorting, filtering, keyboard, narrow screens, no network, nothing unescaped."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.config import RunConfig
from suite.leaderboard.report import report_html
from suite.leaderboard.runs import RunSet
from suite.measuring.null_tuning import World, made_up_tuning
from suite.runs.record import Record
from suite.yaml_files import load_yaml

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
NASTY = "<script>window.broken = 1</script> _%&"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(BROWSERS)}); install the package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


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
    assert page.locator(".marked .tag").all_inner_texts() == ["best", "not separable from it"]
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
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_are_drawn_and_described(page: Any) -> None:
    images = page.locator("figure img").all()
    assert images
    for image in images:
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") > 100
        assert image.get_attribute("alt")


def test_names_cannot_become_markup(page: Any, page_file: Path) -> None:
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
    details = section.locator("details").first
    assert details.get_attribute("open") is not None
    assert "batch_size: 4" in details.inner_text()
    assert details.locator("td.learned").all_inner_texts() == ["80", "80", "80"]
    section.locator("summary", has_text="codyra").press("Enter")
    assert section.locator("details", has_text="codyra").first.get_attribute("open") is not None


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
