"""The shipped facts of MTIL and X-TAIL: task orders, counts, templates and class names, each with its source."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Family = Literal["mtil", "xtail"]


@lru_cache(maxsize=4)
def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("suite.data") / "facts" / f"{name}.json").read_text("utf-8"))
    return content


def stream_facts(family: Family) -> dict[str, Any]:
    """``orders`` (I, II) and ``sets``: title, classes, train, validation, test, counts (status), templates."""
    return _read(family)


def download_facts() -> dict[str, Any]:
    """``sets``: archives with addresses and md5 sums in torchvision's layout; ``split_files``: pages of CoOp's splits."""
    return _read("downloads")


def class_facts(family: Family) -> dict[str, Any]:
    """Per data set: ``names`` in label order, ``status`` (verified, derived, unverified), ``source``; ``folders``."""
    return _read(f"{family}_classes")
