"""Benchmark and hyperparameter suite for continual learning with low-rank adaptation.

``suite.run``, ``suite.compare`` and the other functions of the Python API stand in ``suite.workflows`` and are loaded when they are
asked for; ``__init__.pyi`` says so to type checkers.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name.startswith("_"):
        raise AttributeError(f"module 'suite' has no attribute {name!r}")
    return getattr(import_module("suite.workflows"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("suite.workflows").API})
