"""Words that no command can read are refused as every other mistake is: one sentence behind the command, and nothing else."""

from __future__ import annotations

import sys

import pytest

from suite.cli.main import main


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run mini-mtil --limit 1.5", "codyra-suite run: --limit 1.5: is not a whole number; give one."),
        ("dev perf step --rounds 0", "codyra-suite dev perf step: --rounds 0: is not a whole number from 1 on; give one."),
        (
            "dev perf null --methods 30",
            "codyra-suite dev perf null: --methods 30: is not a whole number from 2 to 20; give one.",
        ),
        (
            "dev perf eval --test-share x",
            "codyra-suite dev perf eval: --test-share x: is not a number from 0.0001 to 1; give one.",
        ),
        (
            "dev perf driver --stopping x",
            "codyra-suite dev perf driver: --stopping x: is not one of none, median, halving; give one.",
        ),
        ("run", "codyra-suite run: WHAT: is missing; 'codyra-suite run --help' shows what it takes."),
        ("runs tag 01", "codyra-suite runs tag: TAG...: is missing; 'codyra-suite runs tag --help' shows what it takes."),
        (
            "run a --limt 3",
            "codyra-suite run: --limt: is not an option (nearest: --limit); 'codyra-suite run --help' shows what it takes.",
        ),
        ("run a --seed", "codyra-suite run: --seed: has no value; 'codyra-suite run --help' shows what it takes."),
        (
            "runs list --json=3",
            "codyra-suite runs list: --json: takes no value; 'codyra-suite runs list --help' shows what it takes.",
        ),
        ("run a b", "codyra-suite run: 'b': is more than the command takes; 'codyra-suite run --help' shows what it takes."),
        (
            "run mini-mtil --set method.rank=null -m lora",
            "codyra-suite run: config: method.rank: takes a whole number (is null).",
        ),
        (
            "runs nte",
            "codyra-suite runs: 'nte' is not a command; use one of delete, list, note, show, tag, verify (nearest: 'note').",
        ),
    ],
)
def test_it_is_one_sentence(line: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["codyra-suite", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    assert (end.value.code, shown.out, shown.err) == (2, "", f"{said}\n")


def test_no_words_show_the_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["codyra-suite", "runs"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert "runs [OPTIONS] COMMAND" in shown.out
    assert shown.err == ""
