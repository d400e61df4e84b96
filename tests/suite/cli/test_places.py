"""Whatever is wrong with a place that a command is given is one sentence, exit code 2, before anything is trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from suite.cli.main import main

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
    assert said.startswith("codyra-suite: ")
    assert reason in said
    assert said.count("\n") == 1
    assert Path("file").read_text() == "kept"
