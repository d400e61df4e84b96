"""Image sets made ready: pulled, checked, their draws frozen, their images decoded once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from suite.config import apply_overrides, validate
from suite.counting import counted
from suite.data.cache import ImageCache, readable_size
from suite.errors import ConfigError, DataError
from suite.hashing import cache_root
from suite.registry import BENCHMARKS
from suite.workflows.progress import QUIET, Watcher

if TYPE_CHECKING:
    from suite.benchmarks.image_plan import PlannedBenchmark
    from suite.benchmarks.manifest import Finding, Manifest
    from suite.data.fetch import BytesProgress
    from suite.data.pull import FileProgress, Pulled


@dataclass(frozen=True)
class CachePlan:
    """The caches of a benchmark and the room for them.

    Attributes:
        folder: where all caches of this machine lie.
        free_bytes: on its disk.
    """

    caches: Sequence[ImageCache]
    folder: Path
    free_bytes: int

    @property
    def missing(self) -> list[ImageCache]:
        """Those that are not built, or not to their end."""
        return [cache for cache in self.caches if not cache.is_built]


def planned_benchmark(name: str, settings: Sequence[str] = ()) -> PlannedBenchmark:
    """The config of an image benchmark that lists its images; ``settings`` as ``order=II``, with or without ``benchmark.``.

    Raises:
        ConfigError: unknown name or field, or a benchmark without an image list.
    """
    model = BENCHMARKS[name]
    if not hasattr(model, "plan_task"):
        raise ConfigError(
            f"benchmark '{name}' has no list of images; use mtil, mtil-5shot, mtil-16shot, xtail or image-folders."
        )
    fields = apply_overrides({"name": name}, [setting.removeprefix("benchmark.") for setting in settings])
    return cast("PlannedBenchmark", validate(model, fields, where=f"benchmark {name}"))


def pull_sets(names: Sequence[str], data_root: Path, mirror: str | None, watcher: Watcher = QUIET) -> Iterator[Pulled]:
    """Make image sets complete below ``data_root``, one after the other; ``mirror`` as in ``suite.data.pull.pull``.

    Raises:
        SuiteError: an unknown name, before anything is loaded; a wrong checksum; a harmful archive.
    """
    from suite.data.pull import pull, wanted_sets

    for wanted in wanted_sets(names):
        with _shown_bytes(wanted.name, watcher) as progress:
            result = pull(wanted, data_root, mirror, progress)
        yield result


@contextmanager
def _shown_bytes(name: str, watcher: Watcher) -> Iterator[FileProgress]:
    """Progress over the bytes of the files of one data set."""
    with watcher.begin(name, None) as work:

        def of_file(file: str) -> BytesProgress:
            def told(there: int, total: int | None) -> None:
                if total:
                    work.expect(total)
                work.done(there, note=f"{file} {readable_size(there)}")

            return told

        yield of_file


def verify_images(
    config: PlannedBenchmark, data_root: Path, manifest: Path | None = None, watcher: Watcher = QUIET
) -> list[Finding]:
    """What differs from the shipped facts, and from the frozen list ``manifest``; every image is read and decoded.

    Raises:
        SuiteError: the manifest is none; the data cannot be read at all.
    """
    from suite.benchmarks.manifest import read_manifest, verify

    frozen = read_manifest(manifest) if manifest else None
    with watcher.begin("images read", None) as work:
        return verify(config, data_root, frozen, work.done)


def freeze(config: PlannedBenchmark, data_root: Path, out: Path, watcher: Watcher = QUIET) -> Manifest:
    """Write every split, label, class name and template of a benchmark into the file ``out``.

    Raises:
        SuiteError: missing or damaged data; a file that cannot be written.
    """
    from suite.benchmarks.manifest import manifest_of, write_manifest

    with watcher.begin("images read", None) as work:
        frozen = manifest_of(config, data_root, work.done)
    write_manifest(frozen, out)
    return frozen


def plan_caches(config: PlannedBenchmark, data_root: Path) -> CachePlan:
    """The caches that runs on this benchmark read; DataError for missing data."""
    from suite.benchmarks.image_plan import all_caches, plan_all

    root = cache_root()
    there = root if root.exists() else next(parent for parent in root.absolute().parents if parent.exists())
    return CachePlan(all_caches(config, plan_all(config, data_root)), root, shutil.disk_usage(there).free)


def decode(caches: Sequence[ImageCache], workers: int | None = None, watcher: Watcher = QUIET) -> None:
    """Build what is missing and open everything, so that a cache that does not fit is refused now.

    Raises:
        DataError: an image that cannot be decoded, a disk that is full, a cache that is not of these images.
    """
    from suite.data.cache_build import build

    with watcher.begin("decoding", sum(len(cache.items) for cache in caches)) as work:
        before = 0
        for cache in caches:
            start = before

            def told(done: int, _: int, start: int = start, title: str = cache.title) -> None:
                work.done(start + done, note=title)

            build(cache, told, workers)
            cache.open()
            before += len(cache.items)


def check_caches(caches: Sequence[ImageCache]) -> None:
    """DataError naming the first cache whose pixels changed on disk."""
    for cache in caches:
        damaged = cache.damaged()
        if damaged:
            first = cache.items.source.where(cache.items.ids[damaged[0][0]])
            raise DataError(
                f"{cache.pixels}: {counted(len(damaged), 'chunk', 'is', 'are')} damaged, the first from {first} on; {cache.remedy}."
            )


def remove_caches(caches: Sequence[ImageCache]) -> None:
    """Delete the folders of these caches, finished or not."""
    for cache in caches:
        for folder in (cache.folder, cache.folder.with_name(cache.folder.name + ".part")):
            if folder.exists():
                shutil.rmtree(folder)
