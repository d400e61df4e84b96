"""One function carried out in a process of its own, which never outlives the command: not its end, not its interruption, not its death."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from suite.errors import SuiteError
from suite.signals import ENDING

Found = TypeVar("Found")


def in_own_process(
    function: Callable[..., Found], arguments: tuple[Any, ...], about: str, *, limit: float | None = None
) -> Found:
    """What ``function`` returns in a fresh process that is spawned; all of it must be picklable.

    Args:
        about: what the process is for, as the beginning of a sentence about it.
        limit: seconds after which the process is ended; None: it has as long as it takes.

    Raises:
        SuiteError: that ``function`` raised, or the process died or met its limit; a bug shows its traceback first.
        KeyboardInterrupt: came here; the process has been ended.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    try:
        with _interruptions_kept_away():
            process.start()
        sender.close()
        if limit is not None and not receiver.poll(limit):
            raise SuiteError(f"{about}: had no result after {limit:.0f} s and was ended.")
        found, error = receiver.recv()
    except EOFError:  # it ended without a word
        process.join()
        raise SuiteError(f"{about}: {_death(process.exitcode or 0)}") from None
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        receiver.close()
    if error is not None:
        raise SuiteError(error)
    return found  # type: ignore[no-any-return]


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer: tuple[Any, str | None] = (function(*arguments), None)
    except SuiteError as error:
        answer = (None, str(error))
    sender.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _interruptions_kept_away() -> Iterator[None]:
    """A process that is started meanwhile hears of no Ctrl-C and no ending; this one hears of it afterwards and ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "was ended from outside (SIGKILL), as systems do with a process for which memory is short; free memory, lower "
            "training.batch_size or set training.micro_batch_size."
        )
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}; run the command again."
    return f"ended with code {code} before it had a result; what it said stands above."
