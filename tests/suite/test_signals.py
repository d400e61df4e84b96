"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.runs.record import read_record
from suite.signals import Endings, handlers_kept


@pytest.fixture
def default_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_both_reach_whoever_handles_ctrl_c(ending: signal.Signals, ctrl_c: signal.Handlers, default_handlers: None) -> None:
    """A shell starts background commands with Ctrl-C ignored; they end all the same."""
    signal.signal(signal.SIGINT, ctrl_c)
    endings = Endings()
    endings.listen()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), ending)
    assert [endings.code(code) for code in (0, 2, 130)] == [0, 2, 143]


def test_a_signal_that_somebody_ignores_stays_ignored(default_handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    endings = Endings()
    endings.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not endings.received
    assert endings.code(130) == 130


def test_handlers_come_back_from_a_library_that_takes_them(default_handlers: None) -> None:
    with handlers_kept():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


CLOSED = """
import os, pty, signal, sys
from suite.signals import Endings
Endings().listen()
master, terminal = pty.openpty()
os.dup2(terminal, 1)
os.close(terminal)
os.close(master)
try:
    signal.raise_signal(signal.SIGHUP)
except KeyboardInterrupt:
    print("what was finished", flush=True)
    print("ended", file=sys.stderr)
"""


def test_a_closed_terminal_takes_nothing_away_from_an_orderly_end() -> None:
    """Whatever is still printed there would raise EIO."""
    done = subprocess.run([sys.executable, "-c", CLOSED], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "ended\n")


def test_a_run_that_is_told_to_end_says_stopped(tmp_path: Path) -> None:
    options = ["--tracking", "none", "--set", "training.steps=100000", "--set", "benchmark.domains=[shapes, digits]"]
    command = [sys.executable, "-m", "suite.cli.main", "run", "mini-mtil", "--method", "lora", *options]
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(ignoring, cwd=tmp_path, stderr=said)
    while not (found := list(tmp_path.glob("codyra-runs/runs/*/record.json"))):
        assert process.poll() is None, (tmp_path / "said").read_text()
        time.sleep(0.1)
    process.terminate()
    assert process.wait() == 143
    assert "interrupted; what was finished is kept" in (tmp_path / "said").read_text()
    assert read_record(found[0]).status == "stopped"
