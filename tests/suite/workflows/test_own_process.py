"""A process of its own ends with what asked for it, and its death is one sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any

import psutil
import pytest

from suite.errors import SuiteError
from suite.workflows.own_process import in_own_process

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (
            signal.raise_signal,
            (signal.SIGKILL,),
            r"^the probe: was ended from outside \(SIGKILL\), as systems do .* memory is short; free memory",
        ),
        (signal.raise_signal, (signal.SIGSEGV,), "^the probe: was ended by SIGSEGV; run the command again.$"),
        (os._exit, (3,), "^the probe: ended with code 3 before it had a result"),
    ],
)
def test_a_death_is_one_sentence(function: Any, arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(SuiteError, match=reason):
        in_own_process(function, arguments, "the probe")
    assert multiprocessing.active_children() == []
    assert in_own_process(abs, (-3,), "the probe") == 3


def test_an_interruption_ends_it_at_once() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_own_process(time.sleep, (600,), "the probe")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert multiprocessing.active_children() == []


def test_it_does_not_outlive_a_killed_command() -> None:
    code = "import time; from suite.workflows.own_process import in_own_process; in_own_process(time.sleep, (600,), 'it')"
    process = subprocess.Popen([sys.executable, "-c", code])
    watched = psutil.Process(process.pid)
    while not (children := [one for one in watched.children() if "spawn_main" in " ".join(one.cmdline())]):
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []
