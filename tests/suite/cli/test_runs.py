"""Finding, tagging and deleting runs as a user types it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from suite.cli.front import WORDS, in_words
from suite.cli.main import app, main
from suite.cli.runs import distinct_length
from suite.runs.store import RunStore

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(some_runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``code, out, err = cli("runs", ...)`` in a folder with two runs, one of them of LoRA."""
    monkeypatch.chdir(some_runs.parent)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codyra-suite", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def test_runs_are_listed_filtered_and_shown(cli: Cli) -> None:
    code, out, err = cli("runs", "list")
    assert (code, err) == (0, "") and "2 runs; last: zscl.last in %" in out
    (row,) = json.loads(cli("runs", "list", "-m", "lora", "--json")[1])
    assert (row["name"], row["status"], row["tasks_done"], row["tags"]) == ("mini-mtil lora seed 1", "finished", 2, [])
    shown = json.loads(cli("runs", "show", row["run_id"][:8], "--json")[1])
    assert shown["record"]["run_id"] == row["run_id"] and shown["metrics"]["zscl.last"] == row["value"]
    text = cli("runs", "show", "mini-mtil lora")[1]
    assert "zscl.last" in text and "costs:" in text and "trainable parameters" in text
    assert cli("runs", "list", "-m", "lara")[2] == (
        "codyra-suite runs list: no run matches method = 'lara' (method alone leaves 0 of 2); leave a filter out (nearest: 'lora').\n"
    )
    assert "run '': no such run below codyra-runs/runs" in cli("runs", "show", "")[2]


def test_tags_and_notes_are_kept_shown_and_harmless(cli: Cli, some_runs: Path) -> None:
    before = {path: path.read_bytes() for path in some_runs.rglob("record.json")}
    assert cli("runs", "tag", "mini-mtil lora", "paper", "--tracking", "none")[1].endswith(": paper\n")
    assert cli("runs", "note", "paper", "<script>alert(1)</script>", "--quiet", "--tracking", "none")[:2] == (0, "")
    assert cli("runs", "note", "paper")[1] == "<script>alert(1)</script>\n"
    (told,) = {
        cli("runs", *words, "--json", "--tracking", "none")[1] for words in (["note", "paper"], ["tag", "paper", "paper"])
    }
    assert json.loads(told).items() >= {"tags": ["paper"], "note": "<script>alert(1)</script>"}.items()
    code, out, _ = cli("leaderboard", "--tag", "paper", "--tracking", "none")
    assert code == 0 and "lora" in out and "zero-shot" not in out and "tags" in out
    (row,) = json.loads(cli("leaderboard", "--tag", "paper", "--tracking", "none", "--json")[1])
    assert row["tags"] == "paper"
    assert cli("report", "--tracking", "none", "-q")[:2] == (0, "")
    page = Path("report.html").read_text()
    assert "[paper]: &lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert" not in page
    code, _, err = cli("runs", "tag", "paper", "x" * 10_000)
    assert code == 2 and err.count("\n") == 1 and len(err) < 200
    assert before == {path: path.read_bytes() for path in some_runs.rglob("record.json")}


def test_deletion_asks_refuses_and_then_is_whole(cli: Cli, some_runs: Path) -> None:
    store = RunStore(some_runs)
    code, _, err = cli("runs", "delete", "mini-mtil lora", "--tracking", "none")
    assert (code, len(store.all().runs)) == (2, 2) and "add --yes to delete 1 run" in err
    code, _, err = cli("runs", "delete", "mini-mtil lora", "nothing", "--yes", "--tracking", "none")
    assert (code, len(store.all().runs)) == (2, 2) and "run 'nothing': no such run" in err
    code, out, _ = cli("runs", "delete", "mini-mtil lora", "--yes", "--json", "--tracking", "none")
    assert code == 0 and len(json.loads(out)["deleted"]) == 1
    assert [run.record.method for run in store.all().runs] == ["zero-shot"]
    assert sorted(path.name for path in some_runs.iterdir() if path.name.startswith(".")) == []


def test_trials_are_told_in_the_words_of_runs() -> None:
    assert in_words({"RUNNING": 1, "PRUNED": 2, "COMPLETE": 7}) == "7 finished, 2 stopped, 1 running"
    assert set(WORDS) == set(TrialState.__members__)


def test_ids_are_shortened_as_far_as_they_differ() -> None:
    assert distinct_length(["0123456789abcdef"]) == 8
    assert distinct_length(["0123456789abcdef", "0123456789ffffff"]) == 11
    assert distinct_length(["lora-0", "lora-1"]) == 6


def test_there_is_no_study_to_list(cli: Cli) -> None:
    assert "holds no study; 'codyra-suite sweep' makes one" in cli("studies", "list")[2]
    assert "study 'x': there is none below" in cli("studies", "show", "x")[2]


@pytest.mark.parametrize("command", [["run"], ["runs", "delete"], ["compare"], []])
def test_help_shows_no_type_behind_a_flag(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], terminal_width=100).output
    assert "bool" not in shown and "--help" in shown


def test_help_has_groups() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    places = [shown.index(f"─ {panel} ─") for panel in ("Run", "Look", "Check", "Cluster", "Develop")]
    assert places == sorted(places)
