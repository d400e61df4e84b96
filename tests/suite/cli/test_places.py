"""Whatever is wrong with a place that a command is given is one sentence, exit code 2, before anything is trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import suite
from suite.cli.main import app, main
from suite.errors import ConfigError

SMALL = ["--method", "zero-shot", "--set", "benchmark.domains=[shapes]", "--set", "benchmark.shots=4", "--tracking", "none"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "mini-mtil", *SMALL, "--out", "x" * 300], "File name too long"),
        (["run", "mini-mtil", *SMALL, "--out", "/proc/nope"], "No such file or directory"),
        (["run", "mini-mtil", *SMALL, "--out", "loop"], "loop"),
        (["run", "mini-mtil", *SMALL, "--out", "file"], "file: cannot hold results (Not a directory)"),
        (["run", "mini-mtil", *SMALL[:-2], "--out", "file"], "file: cannot hold results (Not a directory)"),
        (["run", "mini-mtil", *SMALL[:-2], "--out", "x" * 300], "File name too long"),
        (["compare", "-b", "mini-mtil", "-m", "lora", "--out", "/proc/nope"], "/proc/nope: cannot hold results (No such file"),
        (
            ["compare", "-b", "xtail", "-m", "lora", "--data-root", "none", "--out", "file"],
            "file: cannot hold results (Not a directory)",
        ),
        (["paper", "xtail", "--data-root", "none", "--out", "file"], "file: cannot hold results (Not a directory)"),
        (["run", "mini-mtil", *SMALL, "--out", "caf\udce9"], "is not UTF-8"),
        (["run", "image-folders", *SMALL[:2], "--data-root", "x" * 300, "--tracking", "none"], "x: "),
        (["run", "image-folders", *SMALL[:2], "--data-root", "loop", "--tracking", "none"], "loop: "),
        (
            [
                "run",
                "text-folders",
                *SMALL[:2],
                "--set",
                "benchmark.metrics={a: accuracy}",
                "--data-root",
                "y" * 300,
                *SMALL[-2:],
            ],
            "y: ",
        ),
        (["run", "x" * 300 + ".yaml"], "File name too long"),
        (["run", "/dev/zero/a.yaml"], "Not a directory"),
        (["sweep", "pipe.yaml"], "it is a pipe or a device"),
        (["data", "verify", "image-folders", "--data-root", "x" * 300], "x: "),
        (["data", "verify", "image-folders", "--manifest", "y" * 300], "File name too long"),
        (["run", "mini-mtil", *SMALL, "--out", ""], "'' is not a folder"),
        (["sweep", "sweep.yaml", "--out", "-"], "'-' is not a folder"),
        (["submit", "sweep.yaml", "--address", "http://127.0.0.1:9", "--out", ""], "'' is not a folder"),
        (["run", "mini-mtil", *SMALL, "--data-root", ""], "'' is not a folder"),
        (["leaderboard", "--csv", "absent/deep/x.csv"], "there is no folder 'absent/deep'"),
        (["leaderboard", "--html", ""], "'' is not a file"),
        (["leaderboard", "--html", "."], "'.' is a folder"),
        (["demo", "--csv", "absent/x.csv"], "there is no folder 'absent'"),
        (["report", "--file", "absent/x.html"], "there is no folder 'absent'"),
        (["data", "manifest", "xtail", "--file", "absent/x.json"], "there is no folder 'absent'"),
        (["rescore", "0123", "--scoring", "trace", "--out", "absent"], "run '0123': no such run below absent/runs"),
        (["repeat", "0123", "--out", "absent"], "no such run"),
        (["export", "0123", "--out", "absent"], "no such run"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe.yaml")
    monkeypatch.setattr(sys, "argv", ["codyra-suite", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("codyra-suite ")
    assert reason in said
    assert said.count("\n") == 1
    assert Path("file").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop", "pipe.yaml"}


def test_every_place_that_is_written_goes_through_the_same_check() -> None:
    """An option that names a file or a folder of results has a parser of its own; those left to typer are read."""
    waiting: list[tuple[str, Any]] = [("", get_command(app))]
    unchecked = set[tuple[str, str]]()
    while waiting:
        name, command = waiting.pop()
        waiting += [(f"{name} {inner}".strip(), found) for inner, found in getattr(command, "commands", {}).items()]
        for option in command.params:
            found = getattr(option, "type_descriptor", None)
            if found is not None and found.annotation is Path and found.parameter_info.parser is None:
                unchecked.add((name, option.name))
    read = {("sweep", "file"), ("submit", "file"), ("plan", "file"), ("tune", "file"), ("data verify", "manifest")}
    assert unchecked - read == {("dev perf demo", "folder")}


def test_the_python_interface_refuses_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (lambda: suite.run("mini-mtil", out=""), lambda: suite.report("absent/x.html"), lambda: suite.runs(out="")):
        with pytest.raises(ConfigError, match="is not a folder|there is no folder"):
            call()
    assert not list(tmp_path.iterdir())
