"""What the ``data`` commands show and do around the library: sizes beforehand, progress, removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from suite.cli.progress import WorkProgress
from suite.counting import counted
from suite.data.cache import ImageCache, readable_size
from suite.data.cache_build import build
from suite.data.fetch import BytesProgress
from suite.data.pull import FileProgress
from suite.errors import DataError
from suite.hashing import cache_root


@contextmanager
def shown_bytes(name: str) -> Iterator[FileProgress]:
    """Progress over the bytes of the files of one data set, on a terminal only."""
    with WorkProgress(name, total=None) as bar:

        def of_file(file: str) -> BytesProgress:
            def told(there: int, total: int | None) -> None:
                if total:
                    bar.expect(total)
                bar.done(there, note=f"{file} {readable_size(there)}")

            return told

        yield of_file


def announce(caches: Sequence[ImageCache]) -> None:
    """One line per cache and the total, before anything is decoded."""
    todo = [cache for cache in caches if not cache.is_built]
    for cache in caches:
        state = "there" if cache.is_built else "to decode"
        typer.echo(f"{cache.title}: {counted(len(cache.items), 'image')}, {readable_size(cache.total_bytes)}, {state}")
    root = cache_root()
    there = root if root.exists() else next(parent for parent in root.absolute().parents if parent.exists())
    typer.echo(
        f"{counted(sum(len(cache.items) for cache in todo), 'image')} to decode, "
        f"{readable_size(sum(cache.total_bytes for cache in todo))} in {root}, "
        f"{readable_size(shutil.disk_usage(there).free)} free"
    )


def build_shown(caches: Sequence[ImageCache], workers: int | None) -> None:
    """Build what is missing and open everything, so that a cache that does not fit is refused now."""
    with WorkProgress("decoding", total=sum(len(cache.items) for cache in caches)) as bar:
        before = 0
        for cache in caches:
            start = before

            def told(done: int, _: int, start: int = start, title: str = cache.title) -> None:
                bar.done(start + done, note=title)

            build(cache, told, workers)
            cache.open()
            before += len(cache.items)
    typer.echo(f"{counted(len(caches), 'cache', 'is', 'are')} ready.")


def check_caches(caches: Sequence[ImageCache]) -> None:
    """DataError naming the first cache whose pixels changed on disk."""
    for cache in caches:
        damaged = cache.damaged()
        if damaged:
            first = cache.items.source.where(cache.items.ids[damaged[0][0]])
            raise DataError(
                f"{cache.pixels}: {counted(len(damaged), 'chunk', 'is', 'are')} damaged, the first from {first} on; {cache.remedy}."
            )
    typer.echo("all checksums are right.")


def remove_caches(caches: Sequence[ImageCache]) -> None:
    """Delete the folders of these caches, finished or not."""
    for cache in caches:
        for folder in (cache.folder, cache.folder.with_name(cache.folder.name + ".part")):
            if folder.exists():
                shutil.rmtree(folder)
