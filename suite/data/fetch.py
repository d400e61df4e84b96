"""Downloads one file and believes it only after its checksum matched. Interrupted downloads go on where they stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from suite.errors import DataError

BLOCK = 1 << 20
TIMEOUT_SECONDS = 30
BytesProgress = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all if known)."""


class Unreachable(DataError):
    """No address of a file answers; everything that is there already is untouched."""


def fetch(urls: Sequence[str], md5: str | None, target: Path, progress: BytesProgress | None = None) -> None:
    """``target`` from the first address that answers; one that is already there is checked, not loaded again.

    Args:
        md5: None only for files from a mirror that the user named.

    Raises:
        Unreachable: no address answers. DataError: the file does not have the checksum.
    """
    if target.is_file():
        require_checksum(target, md5)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        try:
            _download(url, part, progress)
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"{url} ({getattr(error, 'reason', None) or error})")
            continue
        try:
            require_checksum(part, md5)
        except DataError:
            part.unlink()
            raise
        part.replace(target)
        return
    raise Unreachable(
        f"{target.name}: no address answers: {', '.join(failures)}; without network, load the file elsewhere, save it as "
        f"{target} and repeat the command, or name a mirror with --from."
    )


def require_checksum(path: Path, md5: str | None) -> None:
    """DataError unless the file has the md5 sum."""
    if md5 is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != md5:
        raise DataError(
            f"{path}: has md5 {digest.hexdigest()} instead of {md5}, so it is not the published file; delete it and "
            "load it again."
        )


def _download(url: str, part: Path, progress: BytesProgress | None) -> None:
    there = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"User-Agent": "codyra-suite"})
    if there and url.startswith("http"):
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # nothing behind what is there already
            return
        raise
    with response:
        resumed = getattr(response, "status", None) == 206
        there = there if resumed else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                there += len(block)
                if progress is not None:
                    progress(there, total)
    if total is not None and there < total:
        raise OSError(f"ended after {there} of {total} bytes")
