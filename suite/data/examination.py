"""Reads every picture of a split once: what cannot be decoded, the content hash of the split, and which pictures are copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from suite.data.cache_build import cores
from suite.data.decode import content_of, digest_of, fold_contents, read_raw, require_picture
from suite.data.items import ImageItems
from suite.errors import DataError


@dataclass(frozen=True)
class Examined:
    """What the stored bytes of one split say.

    Attributes:
        content: hash over identities and bytes, equal to the one in the data fingerprint; empty when a file cannot be read.
        digests: identity -> digest of its bytes alone, equal for copies under any name.
        faults: one sentence per picture that cannot be read or decoded, without its full stop.
    """

    content: str
    digests: Mapping[str, str]
    faults: tuple[str, ...]


def examine(items: ImageItems, read: Callable[[int], None] = lambda count: None) -> Examined:
    """Read and decode every distinct item of a split; ``read`` is told how many were."""
    contents: dict[str, str] = {}
    digests: dict[str, str] = {}
    faults = []

    def one(item: str) -> tuple[str, bytes | None, str]:
        raw = None
        try:
            raw = read_raw(items.source, item)
            require_picture(items.source, item, raw)
        except DataError as error:
            return item, raw, str(error).rstrip(".")
        return item, raw, ""

    with ThreadPoolExecutor(cores(), thread_name_prefix="examine") as pool:
        for number, (item, raw, fault) in enumerate(pool.map(one, dict.fromkeys(items.ids)), start=1):
            if raw is not None:
                contents[item], digests[item] = content_of(item, raw), digest_of(raw)
            faults += [fault] if fault else []
            read(number)
    whole = all(item in contents for item in items.ids)
    return Examined(fold_contents(contents[item] for item in items.ids) if whole else "", digests, tuple(faults))


def copies(tested: Mapping[str, str], learned: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Test identity -> the training or validation identity that has the same bytes; both as identity -> digest."""
    first: dict[str, str] = {}
    for split in learned:
        for item, digest in split.items():
            first.setdefault(digest, item)
    return {item: first[digest] for item, digest in tested.items() if digest in first}
