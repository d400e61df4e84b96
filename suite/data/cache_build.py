"""Builds an image cache: in parallel, resumable after a kill, with the same bytes whichever way it ran.

While it is being built the folder is called ``<name>.part`` and holds a journal with one line per finished chunk.
Threads suffice: Pillow decodes and resizes outside the interpreter lock. One process per node builds, others wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from suite.data.cache import CACHE_VERSION, CacheIndex, ImageCache, readable_size
from suite.data.decode import content_of, decode_raw, digest_of, fold_contents, read_raw
from suite.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""

BUILT_FROM = ("pixels.u8", "journal.jsonl")
log = logging.getLogger(__name__)


class Written(BaseModel):
    """One journal line: a chunk that is on disk, with the digest of its image files' bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk: int
    crc: int
    content: str
    stamp: str
    aspects: list[float]
    digests: list[str]


def build(cache: ImageCache, progress: Progress | None = None, workers: int | None = None) -> None:
    """Decode every image of ``cache`` into its folder; nothing happens when it is already there.

    Raises:
        DataError: missing or unreadable images, or not enough room on the disk.
    """
    with _locked(cache.root / f"{cache.folder.name}.lock"):
        if cache.is_built:
            return
        stamps = cache.stamps()
        part = cache.folder.with_name(cache.folder.name + ".part")
        done = _resumable(cache, part, stamps)
        _require_room(cache, part)
        size = readable_size(cache.total_bytes)
        log.info("decoding %d images of %s, %s in %s", len(cache.items), cache.title, size, cache.folder)
        with (
            (part / "journal.jsonl").open("a", encoding="utf-8") as journal,
            (part / "pixels.u8").open("r+b") as pixels,
        ):
            os.ftruncate(pixels.fileno(), cache.total_bytes)
            _report(cache, done, progress)
            for written in _write_chunks(cache, stamps, done, pixels.fileno(), workers or cores()):
                journal.write(written.model_dump_json() + "\n")
                journal.flush()
                done[written.chunk] = written
                _report(cache, done, progress)
            os.fsync(pixels.fileno())
        _finish(cache, part, [done[number] for number in range(len(stamps))])


def _write_chunks(
    cache: ImageCache, stamps: list[str], done: dict[int, Written], descriptor: int, workers: int
) -> Iterator[Written]:
    """Chunks as they are finished; only a few are in the air, so memory does not depend on the size of the set."""
    chunks = cache.chunks()
    waiting = iter([number for number in range(len(chunks)) if number not in done])
    running: set[Future[Written]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            while True:
                for number in waiting:
                    running.add(pool.submit(_write_chunk, cache, number, chunks[number], stamps[number], descriptor))
                    if len(running) >= 2 * workers:
                        break
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def _write_chunk(cache: ImageCache, number: int, rows: range, stamp: str, descriptor: int) -> Written:
    pixels = np.empty((len(rows), 3, cache.size, cache.size), dtype=np.uint8)
    contents, aspects, digests = [], [], []
    for place, row in enumerate(rows):
        item = cache.items.ids[row]
        raw = read_raw(cache.items.source, item)
        contents.append(content_of(item, raw))
        digests.append(digest_of(raw))
        pixels[place], aspect = decode_raw(cache.items.source, item, raw, cache.size, cache.geometry)
        aspects.append(round(aspect, 6))
    written = pixels.tobytes()
    view, offset = memoryview(written), rows[0] * cache.row_bytes
    while len(view):
        try:
            count = os.pwrite(descriptor, view, offset)
        except OSError as error:
            raise DataError(
                f"{cache.root}: cannot be written ({error.strerror}); free room or set CODYRA_SUITE_CACHE."
            ) from None
        view, offset = view[count:], offset + count
    content = fold_contents(contents)
    return Written(chunk=number, crc=zlib.crc32(written), content=content, stamp=stamp, aspects=aspects, digests=digests)


def _resumable(cache: ImageCache, part: Path, stamps: list[str]) -> dict[int, Written]:
    """Chunks of an interrupted build whose files are unchanged and whose pixels are on disk as journalled."""
    version, chunks = f"{CACHE_VERSION} {cache.identity}\n", cache.chunks()
    head = part / "version"
    if not head.is_file() or head.read_text(encoding="utf-8") != version:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(exist_ok=True)
        for name in BUILT_FROM:
            (part / name).touch()
        head.write_text(version, encoding="utf-8")
        return {}
    found: dict[int, Written] = {}
    for name in BUILT_FROM:
        (part / name).touch()  # a build that was killed while it cleaned up
    lines = (part / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        try:
            written = Written.model_validate_json(line)
        except ValidationError:
            continue  # the line that was being written when the build was killed
        if written.chunk < len(stamps) and written.stamp == stamps[written.chunk]:
            found[written.chunk] = written
    order = sorted(found)
    sums = cache.checksums(part / "pixels.u8", [chunks[number] for number in order])
    done = {number: found[number] for number, crc in zip(order, sums, strict=True) if found[number].crc == crc}
    whole = "".join(done[number].model_dump_json() + "\n" for number in sorted(done))
    (part / "journal.jsonl").write_text(whole, encoding="utf-8")
    return done


def _finish(cache: ImageCache, part: Path, written: list[Written]) -> None:
    index = CacheIndex(
        version=CACHE_VERSION,
        title=cache.title,
        identity=cache.identity,
        images=len(cache.items),
        size=cache.size,
        geometry=cache.geometry,
        content=fold_contents(chunk.content for chunk in written),
        stamps=[chunk.stamp for chunk in written],
        crcs=[chunk.crc for chunk in written],
        aspects=[aspect for chunk in written for aspect in chunk.aspects],
        digests=[digest for chunk in written for digest in chunk.digests],
    )
    (part / "index.json").write_text(index.model_dump_json() + "\n", encoding="utf-8")
    part.rename(cache.folder)
    for name in ("journal.jsonl", "version"):  # of no more use; a build that is killed here is finished all the same
        (cache.folder / name).unlink()


def _require_room(cache: ImageCache, part: Path) -> None:
    written = (part / "pixels.u8").stat().st_blocks * 512  # the file is sparse until its chunks are written
    needed, free = cache.total_bytes - written, shutil.disk_usage(cache.root).free
    if needed > free:
        raise DataError(
            f"{cache.root}: the cache of '{cache.title}' needs {readable_size(needed)} but "
            f"{readable_size(free)} are free; "
            "free room, or set CODYRA_SUITE_CACHE to a folder on another disk."
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be made for the image cache ({error.strerror}); set CODYRA_SUITE_CACHE to "
            "a folder that can be written."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("%s: another process is building this image cache; waiting for it to end", path.with_suffix(""))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _report(cache: ImageCache, done: dict[int, Written], progress: Progress | None) -> None:
    if progress is not None:
        chunks = cache.chunks()
        progress(sum(len(chunks[number]) for number in done), len(cache.items))


def cores() -> int:
    """Processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only; respects the share a container or job was given
    return len(affinity(0)) if affinity else os.cpu_count() or 1
