"""Every command that people type, on a terminal of 80 and of 120 columns: progress bars, colours and widths are real there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from suite.runs.record import read_record

SMALL = ["benchmark.domains=[shapes,digits]", "benchmark.shots=4", "training.steps=4", "training.batch_size=8"]
SET = [word for field in SMALL for word in ("--set", field)]
SWEEP = {
    "name": "typed",
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4},
        "method": {"name": "lora"},
        "training": {"steps": 2, "batch_size": 8},
    },
    "space": "lora",
    "sampler": "random",
    "budget": {"trials": 1},
}
HEADLINE = ("transfer", "average", "last", "forgetting", "bwt")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, terminal: ModuleType) -> Path:
    """A folder in which a run was typed at 80 columns, and its output as ``run.txt``."""
    folder = tmp_path_factory.mktemp("typed")
    shown = terminal.run_in_terminal(terminal.suite("run", "mini-mtil", "--method", "lora", *SET), folder)
    shown.require_whole()
    (folder / "run.txt").write_text(shown.text)
    return folder


def test_run_names_itself_and_shows_every_number(shop: Path) -> None:
    text = (shop / "run.txt").read_text()
    (folder,) = (shop / "codyra-runs" / "runs").iterdir()
    record = read_record(folder)
    assert f"mini-mtil, lora, seed 0, run {record.run_id}" in text
    cells = [f"{value:.1f}" for row in record.test for value in row if value is not None]
    shown = [
        number for line in text.splitlines() if re.match(r"nothing|\d \w", line) for number in re.findall(r"\d+\.\d", line)
    ]
    assert shown == cells
    assert "found" not in text


def test_a_run_that_is_there_says_so(shop: Path, terminal: ModuleType) -> None:
    shown = terminal.run_in_terminal(terminal.suite("run", "mini-mtil", "--method", "lora", *SET), shop, width=120)
    shown.require_whole()
    assert "found, not trained" in shown.text


@pytest.mark.parametrize(("width", "more"), [(80, []), (120, ["--tracking", "none"])], ids=["from MLflow", "from the folder"])
def test_the_leaderboard_is_whole(width: int, more: list[str], shop: Path, terminal: ModuleType) -> None:
    shown = terminal.run_in_terminal(terminal.suite("leaderboard", *more), shop, width=width)
    shown.require_whole()
    (head,) = [line for line in shown.lines if "average" in line]
    assert all(word in head for word in HEADLINE)
    assert re.search(r"^lora +\d", shown.text, flags=re.MULTILINE)
    assert ("not shown in 80 columns:" in shown.text) == (width == 80)


def test_the_page_is_made_without_tracking(shop: Path, terminal: ModuleType) -> None:
    (shop / "mlflow.db").rename(shop / "away.db")
    page = terminal.run_in_terminal(terminal.suite("report", "--tracking", "none", "--file", "page.html"), shop)
    (shop / "away.db").rename(shop / "mlflow.db")
    page.require_whole()
    assert "1 run" in page.text and "lora" in (shop / "page.html").read_text()


def test_a_sweep_that_nobody_takes_is_one_sentence(tmp_path: Path, terminal: ModuleType) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    shown = terminal.run_in_terminal(terminal.suite("submit", "sweep.yaml", "--address", "http://127.0.0.1:9"), tmp_path)
    assert shown.code == 2
    assert "nobody answers at 'http://127.0.0.1:9'" in shown.text and "Traceback" not in shown.text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_comparisons_and_studies_run_to_their_tables(tmp_path: Path, terminal: ModuleType) -> None:
    """A study at 80 and, gone on with, at 120 columns; a comparison shows the leaderboard, which has both widths above.

    Ray pickles its callbacks: whatever holds the terminal must not be in them.
    """
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    compared = terminal.run_in_terminal(terminal.suite("compare", "-b", "mini-mtil", "-m", "zero-shot", *SET), tmp_path)
    compared.require_whole()
    assert re.search(r"^zero-shot +\d", compared.text, flags=re.MULTILINE)
    bill = terminal.run_in_terminal(terminal.suite("plan", "sweep.yaml"), tmp_path)
    bill.require_whole()
    assert re.search(r"^trials +1$", bill.text, flags=re.MULTILINE)
    swept = terminal.run_in_terminal(terminal.suite("sweep", "sweep.yaml"), tmp_path)
    swept.require_whole()
    assert "trials: 1 finished" in swept.text
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "budget": {"trials": 2}}))
    more = terminal.suite("sweep", "sweep.yaml", "--resume", "--accept-changes")
    resumed = terminal.run_in_terminal(more, tmp_path, width=120)
    resumed.require_whole()
    assert "trials: 2 finished" in resumed.text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_ends_with_its_tables(tmp_path: Path, terminal: ModuleType) -> None:
    """Where ``CODYRA_DEMO_SCREEN`` names what a demo wrote that succeeded at 80 columns, as in ``.ci/run``, that is looked at."""
    if written := os.environ.get("CODYRA_DEMO_SCREEN"):
        shown = terminal.Shown(0, tuple(terminal.screen_lines(Path(written).read_bytes())), 80)
    else:
        shown = terminal.run_in_terminal(terminal.suite("demo"), tmp_path, seconds=880)
    shown.require_whole()
    for title in ("mini-mtil (", "mini-trace (", "tuning demo: mini-xtail ("):
        assert any(line.startswith(title) for line in shown.lines), title
    for method in ("zero-shot", "lora", "codyra", "olora", "replay"):
        assert len(re.findall(rf"^{method}\b.* \d", shown.text, flags=re.MULTILINE)) >= 3, method
    assert "◆" in shown.text and "trials: " in shown.text
    end = " ".join(
        " ".join(shown.lines).rpartition("On mini-xtail ")[2].split()
    )  # whether tuning helped, on the stream of the table above
    assert (
        re.search(r"\bTuning (raised|lowered|changed) ", end) and "Next: judge with at least 3 seeds, under another name" in end
    )
