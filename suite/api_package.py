"""Packages that bear the name of a function of the Python API: ``suite.runs()`` and ``suite.leaderboard()``.

Python binds a package that was imported to its name in ``suite``, so the package itself passes a call on.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class ApiPackage(ModuleType):
    """The class of such a package; its ``__init__`` assigns it to the ``__class__`` of its own module."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function of the package's name in ``suite.workflows``."""
        return getattr(import_module("suite.workflows"), self.__name__.rpartition(".")[2])(*args, **kwargs)
