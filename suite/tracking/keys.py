"""Names of tasks and settings as keys that every tracker takes (MLflow is the strictest), one to one. True names stay in the record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 250  # bytes; MLflow counts characters, file systems and some databases count bytes
DIGEST = 16
REFUSED = re.compile(r"[^\w.\- ]")


def metric_key(*parts: str) -> str:
    """``parts`` joined by slashes; what MLflow refuses in a part stands as its code point in hex between colons (``&`` is ``:26:``).

    A colon is written so too, which keeps different names apart. A key that would be too long ends in a hash of all of it.
    """
    return _bounded("/".join(re.sub(r"^\.(?=\.?$)", ":2e:", _escaped(part)) for part in parts))


def param_key(*parts: str) -> str:
    """The same for the way to a field of a config, joined by dots."""
    return _bounded(".".join(_escaped(part) for part in parts))


def config_fields(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``param_key`` and value of every field of a config that is not a mapping itself."""
    return ((param_key(*way), value) for way, value in _leaves(config))


def _leaves(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, Mapping):
        yield way, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, (*way, str(key)))


def _escaped(part: str) -> str:
    return REFUSED.sub(lambda found: f":{ord(found[0]):x}:", part)


def _bounded(key: str) -> str:
    data = key.encode("utf-8")
    if len(data) <= LONGEST:
        return key
    start = data[: LONGEST - DIGEST - 1].decode("utf-8", errors="ignore")
    return f"{start}:{hashlib.sha256(data).hexdigest()[:DIGEST]}"
