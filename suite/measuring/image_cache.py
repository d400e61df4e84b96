"""Measures the image cache beside decoding every time: speed, resident memory, memory of a build, what a kill costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from PIL import Image

from suite.data.cache import ImageCache
from suite.data.cache_build import build
from suite.data.decode import decode_all
from suite.data.items import ImageItems
from suite.data.pixel_map import PixelMap
from suite.measuring.cache_child import listed, perf_cache
from suite.measuring.commands import measure_command
from suite.measuring.ratios import PerfRow

BATCH = 64
PHOTO = (500, 375)  # a usual size in MTIL (dtd, caltech101, food are of this order)
THUMB = (64, 64)


def measure_data(images: int = 512, size: int = 224, build_images: int = 100_000, repeats: int = 9) -> list[PerfRow]:
    """All rows, measured in a temporary folder.

    Args:
        images: JPEG files of 500 x 375 pixels that are decoded, cached and read.
        size: pixels per side in the cache.
        build_images: images of the build whose peak memory is taken, at 32 pixels to spare the disk.
    """
    with TemporaryDirectory(prefix="perf-data-") as name:
        folder = Path(name)
        cache = perf_cache(write_photos(folder / "photos", images, PHOTO), folder / "cache", size)
        start = time.perf_counter()
        build(cache)
        rate = images / (time.perf_counter() - start)
        return [
            reading_row(cache, repeats, f"building the cache: {rate:.0f} images/s"),
            resident_row(cache),
            build_memory_row(folder, build_images),
            killed_row(folder, cache),
        ]


def reading_row(cache: ImageCache, repeats: int, note: str) -> PerfRow:
    """Images per second of random batches: decoded from JPEG each time against read from the cache, one thread."""
    pixels = cache.open().pixels
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"decode": [], "read": []}
    for repeat in range(repeats + 1):
        rows = rng.choice(len(cache.items), BATCH, replace=False)
        decoded = _timed(lambda rows=rows: decode_all(cache.items.take(rows), cache.size)[0])  # type: ignore[misc]
        read = _timed(lambda rows=rows: pixels[rows])  # type: ignore[misc]
        if not np.array_equal(decoded[1], read[1]):
            raise AssertionError("the cache does not hold the decoded images")
        if repeat:
            times["decode"].append(BATCH / decoded[0])
            times["read"].append(BATCH / read[0])
    plain, fast = statistics.median(times["decode"]), statistics.median(times["read"])
    return PerfRow("reading a batch: JPEG each time, cache", plain, fast, "images/s", fast / plain, note)


def resident_row(cache: ImageCache) -> PerfRow:
    """Growth of resident memory in MB over one pass: a bare memory map against the suite's."""
    shape = (len(cache.items), 3, cache.size, cache.size)
    bare = np.memmap(cache.pixels, dtype=np.uint8, mode="r", shape=shape)
    grown = [_growth(pixels, len(cache.items)) for pixels in (PixelMap.over(cache.pixels, shape), bare)]
    ours, theirs = (max(growth, 0.1) for growth in grown)
    note = f"one pass over {cache.total_bytes / 1e6:.0f} MB of pixels"
    return PerfRow("resident memory: bare map, ours", theirs, ours, "MB", theirs / ours, note)


def build_memory_row(folder: Path, count: int) -> PerfRow:
    """Peak memory in MB of a process that builds a cache: of 1000 images against ``count``."""
    write_photos(folder / "thumbs", 100, THUMB)
    peaks = []
    for images in (1000, count):
        command = _command(folder / "thumbs", folder / f"built-{images}", 32, images)
        peaks.append(measure_command(command, every=0.05).peak_bytes / 1e6)
    note = "limit 1074 MB; decoding buffers depend on cores and image size, not on the number of images"
    return PerfRow(f"peak of a build: 1000 images, {count}", peaks[0], peaks[1], "MB", peaks[0] / peaks[1], note)


def killed_row(folder: Path, whole: ImageCache) -> PerfRow:
    """Images decoded by a fresh build against those left after a build was killed half-way; bytes are compared."""
    cache = perf_cache(whole.items, folder / "killed", whole.size)
    command = _command(folder / "photos", folder / "killed", whole.size, len(whole.items))
    part = cache.folder.with_name(cache.folder.name + ".part") / "journal.jsonl"
    with subprocess.Popen(command) as process:
        while process.poll() is None and (not part.is_file() or part.read_bytes().count(b"\n") < 2):
            time.sleep(0.005)
        process.kill()
    kept: list[int] = []
    build(cache, lambda done, _: kept.append(done))
    equal = cache.pixels.read_bytes() == whole.pixels.read_bytes()
    left, total = len(whole.items) - kept[0], len(whole.items)
    note = "byte-identical after SIGKILL and resumption" if equal else "THE BYTES DIFFER"
    return PerfRow("decoded after a kill: anew, resumed", total, left, "images", total / max(left, 1), note)


def write_photos(folder: Path, count: int, shape: tuple[int, int]) -> ImageItems:
    """JPEG files with as much detail as photographs of that size have, about 50 kB at 500 x 375."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (shape[1] // 8, shape[0] // 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    return listed(folder)


def _timed(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def _growth(pixels: np.ndarray, count: int) -> float:
    process = psutil.Process()
    pixels[np.arange(BATCH)].sum()
    before = process.memory_info().rss
    for first in range(0, count - BATCH + 1, BATCH):
        pixels[np.arange(first, first + BATCH)].sum()
    return float(process.memory_info().rss - before) / 1e6


def _command(images: Path, root: Path, size: int, count: int) -> list[str]:
    return [sys.executable, "-m", "suite.measuring.cache_child", str(images), str(root), str(size), str(count)]
