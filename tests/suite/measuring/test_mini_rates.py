"""The sweep of the embedded streams: what chooses, what is shown, what is refused before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.leaderboard.selection import metric_value
from suite.measuring.mini_rates import Asked, mean_text, rate_tables
from suite.runs.store import RunStore
from suite.workflows.progress import QUIET


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked((0,), ["mini-xtali"]), "'mini-xtali' is not an embedded stream.*nearest: 'mini-xtail'"),
        (Asked((0,), methods=["lora", "zero-shot"]), "zero-shot has no learning rate and is shown in any case"),
        (Asked((0,), ["mini-xtail"], ["codyra"], settings=["codyra.kappa_levels=90"]), "leave no room for 90 threshold levels"),
    ],
    ids=["stream", "method without steps", "setting"],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(asked: Asked, said: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=said):
        rate_tables(asked, tmp_path / "out", QUIET, lambda line: pytest.fail(f"began {line}"))
    assert not list(tmp_path.rglob("record.json"))


def test_several_values_show_their_spread() -> None:
    assert (mean_text([50.0]), mean_text([50.0, 51.0, 52.0])) == ("50.0", "51.0 ± 1.0")


def rows_of(table: str) -> dict[str, dict[str, str]]:
    """Method -> column -> cell of a Markdown table."""
    head, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    return {cells[0]: dict(zip(head[1:], cells[1:], strict=True)) for cells in lines}


@pytest.mark.slow
def test_the_first_seed_chooses_on_validation_and_all_seeds_are_shown_on_test_data(tmp_path: Path) -> None:
    settings = ["benchmark.domains=[shapes,digits]", "benchmark.shots=4", "training.steps=8", "training.batch_size=8"]
    asked = Asked((0, 1), ["mini-xtail"], ["lora", "codyra"], (6,), [*settings, "codyra.kappa_levels=2"])
    said: list[str] = []
    tried, tests, budgets = map(rows_of, rate_tables(asked, tmp_path, QUIET, said.append).split("\n\n"))
    records = [run.record for run in RunStore(tmp_path).all().runs]
    for method in ("lora", "codyra"):
        own = [record for record in records if record.method == method]
        full = [record for record in own if record.config["training"]["steps"] == 8]
        seen = {record.config["training"]["lr"]: record for record in full if record.config["seed"] == 0}
        scores = {rate: metric_value(record, "zscl.last", "validation") for rate, record in seen.items()}
        assert tried[method] == {rate: f"{scores[float(rate)]:.1f}" if float(rate) in scores else "" for rate in tried[method]}
        best = float(tests[method]["lr"])
        assert scores[best] == max(scores.values()) and len(scores) >= 3
        shown = [metric_value(record, "zscl.last") for record in full if record.config["training"]["lr"] == best]
        assert len(shown) == 2 and tests[method]["zscl.last"] == mean_text(shown)
        (smaller,) = (record for record in own if record.config["training"]["steps"] == 6)
        assert smaller.config["training"]["lr"] == best
        assert budgets[method]["6 steps"] == f"{metric_value(smaller, 'zscl.last', 'validation'):.1f}"
    assert re.fullmatch(r"\d+\.\d", tests["zero-shot"]["zscl.last"])
    before = {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "runs").glob("*/record.json")}
    again = rate_tables(asked, tmp_path, QUIET, said.append).split("\n\n")
    assert rows_of(again[1]) == tests
    assert before == {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "runs").glob("*/record.json")}
