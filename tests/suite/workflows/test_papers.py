"""A published table run again on a tiny tree in CoOp's layout: own values beside printed ones, what is missing named before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import suite
from suite.cli.paper_board import print_paper, print_paper_plan
from suite.errors import SuiteError
from suite.leaderboard.export import FORMS
from suite.leaderboard.paper import NOT_HERE, paper_frame, paper_notes
from suite.leaderboard.recipes import PrintedRow
from suite.leaderboard.reproduction import NOT_ATTEMPTED
from suite.runs.record import Record
from suite.tuning.forecast import Bill
from suite.workflows.paper_rows import Wanted, printed_rows
from suite.workflows.papers import PaperPlan
from trainables.run import RunContext, execute

SMALL: dict[str, Any] = {  # one data set whose class names the shipped backbone knows
    "backbone": "mini-clip",
    "benchmark.tasks": ["mnist"],
    "benchmark.image_size": 32,
    "benchmark.shots": 2,
    "training.batch_size": 8,
}


@dataclass(frozen=True)
class Made:
    """Two methods of X-TAIL's tables, cut to a few rows: the printed rows, the records of their runs, and the table."""

    rows: list[PrintedRow]
    records: dict[str, Record]
    table: pd.DataFrame


@pytest.fixture(scope="module")
def made(coop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("paper")
    rows = printed_rows("xtail", Wanted(methods=["zero-shot", "codyra"], settings=SMALL, limit=8))
    configs = {config.config_hash(): config for row in rows for config in row.configs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODYRA_SUITE_CACHE", str(folder / "cache"))
        run_context = RunContext(folder / "out", coop_root, "cpu")
        records = [execute(config, run_context) for config in configs.values()]
    return Made(rows, {record.method: record for record in records}, paper_frame("xtail", rows, records, {}))


def test_own_values_stand_beside_the_printed_ones_and_say_what_differs(made: Made) -> None:
    assert {name: record.status for name, record in made.records.items()} == {"codyra": "finished", "zero-shot": "finished"}
    assert set(made.table["published method"]) == {"Zero-shot", "CoDyRA"}
    last = made.table[(made.table["metric"] == "zscl.last") & (made.table["method"] == "codyra")]
    assert set(last["own"]) == {made.records["codyra"].test[-1][0]}
    assert set(last["published"]) == {79.2}
    assert set(made.table["verdict"]) == {NOT_ATTEMPTED}
    for part in ("order given (published I)", "training.steps 4 (published 500)", "benchmark.limit 8 (published without)"):
        assert last["why"].str.contains(part, regex=False).all(), part
    assert made.table["assumed"].str.len().gt(0).all()


def test_a_run_that_did_not_finish_is_no_own_value(made: Made) -> None:
    failed = made.records["codyra"].model_copy(update={"status": "failed", "reason": "the loss is not a number"})
    frame = paper_frame("xtail", made.rows, [failed], {})
    assert frame["own"].isna().all()
    assert frame["why"].str.startswith("there is no finished run").all()


@pytest.mark.parametrize("width", [80, None])
def test_no_digit_is_cut_in_80_columns(width: int | None, made: Made, show: Callable[..., list[str]]) -> None:
    lines = show(lambda: print_paper("xtail", made.table, 2), width)
    assert width is None or max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "a smoke test, no row gets a verdict" in text
    (line,) = [line for line in lines if line.startswith("CoDyRA ")]
    own = made.table[made.table["metric"] == "zscl.last"]["own"].iloc[0]
    assert f"{own:.1f}" in line and "79.2" in line


def test_every_form_of_the_table_holds_every_printed_value(made: Made) -> None:
    for form in ("csv", "markdown", "latex"):
        text = FORMS[form](made.table)
        assert text.count("79.2") >= 2, form


def test_a_method_that_is_not_here_is_in_the_table_with_the_reason() -> None:
    rows = printed_rows("xtail", Wanted())
    zscl = next(row for row in rows if row.method == "zscl" and row.order == "I")
    reason = "method: 'zscl' needs a reference set of pictures and captions; name its folder as references.folder."
    frame = paper_frame("xtail", rows, [], {zscl.configs[0].config_hash(): reason})
    assert len(frame) == 63
    lada = frame[frame["published method"] == "LADA"]
    assert set(lada["verdict"]) == {NOT_HERE}
    assert set(lada["why"]) == {"LADA is not built here"}
    assert frame[(frame["published method"] == "ZSCL") & (frame["order"] == "I")]["why"].str.startswith(reason).all()
    notes = paper_notes(frame)
    assert "LADA: not implementable: LADA is not built here." in notes
    assert any(line.startswith("ZSCL: no verdict: ") for line in notes)


def test_data_that_is_missing_is_named_set_by_set_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as refused:
        suite.paper("xtail", ["zero-shot"], out=tmp_path / "out", data_root=tmp_path, tracking="none")
    said = str(refused.value)
    assert "(aircraft, caltech101, dtd, eurosat, oxford_flowers, food101, mnist, oxford_pets, stanford_cars, sun397)" in said
    assert "run 'codyra-suite data pull aircraft'" in said and "and so on for the others" in said
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.slow
def test_the_whole_command_twice(coop_root: Path, tmp_path: Path, image_cache: Path, terminal: ModuleType) -> None:
    """On a terminal of 80 columns; the second time nothing is trained, and with other rows asked for the forecast alone is printed."""
    settings = [f"--set={key}={json.dumps(value)}" for key, value in SMALL.items()]
    words = ["paper", "xtail", "--data-root", str(coop_root), "--limit", "8", "--out", "out", "--tracking", "none", *settings]
    first = terminal.run_in_terminal(terminal.suite(*words, "-m", "zero-shot", "-m", "codyra", "--latex", "t.tex"), tmp_path)
    first.require_whole()
    begun = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*/record.json")}
    assert len(begun) == 2
    again = terminal.run_in_terminal(terminal.suite(*words, "-m", "codyra"), tmp_path)
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in begun} == begun
    bill = terminal.run_in_terminal(terminal.suite(*words, "-m", "lora", "--plan"), tmp_path)
    assert bill.code == 0 and "what it will cost here" in bill.text


def test_a_plan_prints_its_sums(show: Callable[..., list[str]]) -> None:
    rows = printed_rows("trace", Wanted(methods=["lora"]))
    bill = Bill(6, (30.0, 7200.0), 2, 10845.0, 6.03, 0.0, 2**30, 2**28)
    plan = PaperPlan(rows, ["LoraSeqFT, order 1, LLaMA-2-7B-Chat", "LoraSeqFT, order 1, Vicuna-7B-V1.5"], bill)
    text = "\n".join(show(lambda: print_paper_plan("trace", plan), 80))
    assert "6 runs, 2 at a time: 3.0 h by the clock, 6.03 CPU-hours" in text.replace("\n", " ")
    assert "90 s" in text and "6.0 h" in text
