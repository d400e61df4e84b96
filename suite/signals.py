"""How a command ends when it is told to: SIGTERM (Slurm, ``docker stop``, ``ray job stop``) and SIGHUP end it as Ctrl-C does."""

from __future__ import annotations

import errno
import os
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
CODE = 143  # what a shell reports of a process that SIGTERM ended
CTRL_C_CODE = 130


class Endings:
    """The handler of both signals; ``received`` says whether one came.

    It passes them on to the handler that Ctrl-C has at that moment (Python's or Ray Tune's), also where a shell started the command
    in the background and Ctrl-C itself is ignored.
    """

    received: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        _leave_closed_terminal()
        ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(ctrl_c):
            raise KeyboardInterrupt
        ctrl_c(signal.SIGINT, frame)

    def listen(self) -> None:
        """Install the handler where nobody chose another one: ``nohup`` ignores SIGHUP."""
        for ending in ENDING:
            if signal.getsignal(ending) is signal.SIG_DFL:
                signal.signal(ending, self)

    def code(self, code: int) -> int:
        """The exit code of a command that would end with ``code``."""
        return CODE if self.received and code == CTRL_C_CODE else code


def _leave_closed_terminal() -> None:
    """Let output go nowhere where its terminal is gone: every line of an orderly end, and of a progress bar, would raise EIO."""
    for number in (1, 2):
        try:
            termios.tcgetattr(number)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Give the signals back to their handlers afterwards; ``ray.init`` takes them, below Python's table too."""
    before = {ending: signal.getsignal(ending) for ending in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for ending, handler in before.items():
                signal.signal(ending, signal.SIG_DFL if handler is None else handler)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started meanwhile never hear of an ending; it reaches this process afterwards, which then ends them.

    Slurm, ``timeout`` and many a container's init tell every process at once, and a closed terminal its whole process group.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
