"""Libraries that change the process's loggers, held to their own lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def quieted(names: Sequence[str | None], level: int = logging.ERROR) -> Iterator[None]:
    """The loggers ``names`` (None is the root, which libraries without a logger of their own write to) say only ``level`` and above;
    afterwards they are as they were."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.setLevel(was)


@contextmanager
def kept() -> Iterator[None]:
    """What a library does to loggers inside is undone: ``logging.config.fileConfig``, which database migrations call, takes the root's
    handlers away and switches off every logger that its file does not name."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    switched_on = [each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger) and not each.disabled]
    try:
        yield
    finally:
        for logger in switched_on:
            logger.disabled = False
        root.handlers[:] = handlers
        root.setLevel(level)
