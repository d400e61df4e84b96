"""The image cache: right pixels, resumed after a real kill, refused when it does not fit, flat memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from suite.data import cache as cache_module
from suite.data.cache import ImageCache
from suite.data.cache_build import build
from suite.data.decode import decode, decode_all
from suite.data.items import FileSource, ImageItems, image_items
from suite.errors import DataError
from suite.hashing import cache_root


def make_items(folder: Path, count: int, side: int = 40) -> ImageItems:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        pixels = rng.integers(0, 256, (side, side + number % 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=70)
    return listed(folder)


def listed(folder: Path) -> ImageItems:
    files = sorted(file.name for file in folder.iterdir())
    return image_items(files, [0] * len(files), FileSource(folder))


def make_cache(items: ImageItems, root: Path, size: int = 24) -> ImageCache:
    return ImageCache(items, "set-test", size, "centre", root)


@pytest.fixture
def items(tmp_path: Path) -> ImageItems:
    return make_items(tmp_path / "images", 150)


@pytest.fixture
def built(items: ImageItems, tmp_path: Path) -> ImageCache:
    cache = make_cache(items, tmp_path / "cache")
    build(cache)
    return cache


def test_rows_are_the_decoded_images_in_order(built: ImageCache) -> None:
    pixels, content, aspects, digests = built.open()
    assert len(set(digests)) == len(digests) == len(built.items)
    assert pixels.shape == (150, 3, 24, 24)
    for row in (0, 63, 64, 149):
        assert np.array_equal(pixels[row], decode(built.items.source, built.items.ids[row], 24))
    assert built.pixels.stat().st_size == built.total_bytes
    assert len(content) == 64
    assert digests == decode_all(built.items, 24).digests
    assert aspects[3] == np.float32(43 / 40)
    assert built.damaged() == []


def test_row_index_arrays_give_plain_copies(built: ImageCache) -> None:
    pixels = built.open().pixels
    rows = np.asarray([149, 3, 3])
    taken = pixels[rows]
    assert type(taken) is np.ndarray
    assert taken.flags.writeable
    assert np.array_equal(taken[1], decode(built.items.source, built.items.ids[3], 24))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 1


def test_two_builds_are_byte_identical_and_repeats_are_kept(items: ImageItems, tmp_path: Path) -> None:
    repeated = items.take([5, 5, 7])
    caches = [make_cache(repeated, tmp_path / name) for name in ("one", "two")]
    for cache, workers in zip(caches, (1, 4), strict=True):
        build(cache, workers=workers)
    assert caches[0].pixels.read_bytes() == caches[1].pixels.read_bytes()
    assert (caches[0].folder / "index.json").read_text() == (caches[1].folder / "index.json").read_text()
    assert np.array_equal(caches[0].open()[0][0], caches[0].open()[0][1])


def test_content_is_that_of_the_files(items: ImageItems, built: ImageCache, tmp_path: Path) -> None:
    first = items.take([0])
    before = decode_all(first, 24).content
    (tmp_path / "images" / "0000.jpg").write_bytes((tmp_path / "images" / "0001.jpg").read_bytes())
    assert decode_all(first, 24).content != before


def test_progress_starts_at_zero_and_reaches_the_end(items: ImageItems, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    build(make_cache(items, tmp_path / "cache"), progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 150)
    assert seen[-1] == (150, 150)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[4]]
from suite.data import decode as decoding
from suite.data.cache import ImageCache
from suite.data import cache_build
from suite.data.items import FileSource, image_items

folder = Path(sys.argv[1])
files = sorted(file.name for file in folder.iterdir())
items = image_items(files, [0] * len(files), FileSource(folder))
cache = ImageCache(items, "set-test", 24, "centre", Path(sys.argv[2]))

def slow(*arguments):
    time.sleep(float(sys.argv[3]))
    return decoding.decode_raw(*arguments)

cache_build.decode_raw = slow
cache_build.build(cache, progress=lambda done, total: print(done, flush=True), workers=2)
"""


def test_killed_build_resumes_to_the_same_bytes(tmp_path: Path, repository: Path) -> None:
    items = make_items(tmp_path / "images", 400)
    whole, killed = make_cache(items, tmp_path / "whole"), make_cache(items, tmp_path / "killed")
    build(whole)
    arguments = [str(tmp_path / "images"), str(tmp_path / "killed"), "0.004", str(repository)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 128:  # at least two of seven chunks are journalled
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    part = killed.folder.with_name(killed.folder.name + ".part")
    assert not killed.is_built
    assert part.is_dir()
    seen: list[int] = []
    build(killed, progress=lambda done, _: seen.append(done))
    assert 128 <= seen[0] < 400
    assert not part.exists()
    assert killed.pixels.read_bytes() == whole.pixels.read_bytes()
    assert (killed.folder / "index.json").read_text() == (whole.folder / "index.json").read_text()


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.mark.parametrize("call", range(5))
def test_a_build_killed_at_any_step_of_its_end_is_built_by_the_next(
    items: ImageItems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = 0
    with monkeypatch.context() as patch:
        for name in ("unlink", "rename"):
            real = getattr(Path, name)

            def counted(path: Path, *arguments: object, real: Callable[..., object] = real, **options: object) -> object:
                nonlocal calls
                calls += 1
                if calls > call:
                    raise Killed
                return real(path, *arguments, **options)

            patch.setattr(Path, name, counted)
        with suppress(Killed):
            build(make_cache(items, tmp_path / "cache"))
    cache, whole = make_cache(items, tmp_path / "cache"), make_cache(items, tmp_path / "whole")
    build(cache)
    build(whole)
    assert cache.pixels.read_bytes() == whole.pixels.read_bytes()
    assert cache.open().content == whole.open().content


@pytest.mark.parametrize("lost", ["journal.jsonl", "pixels.u8", "version"])
def test_a_part_that_lost_a_file_is_built_anew(items: ImageItems, tmp_path: Path, lost: str) -> None:
    cache = make_cache(items, tmp_path / "cache")
    (interrupted(cache, 64) / lost).unlink()
    build(cache)
    assert len(cache.open().digests) == len(items)
    assert not cache.damaged()


def interrupted(cache: ImageCache, after: int) -> Path:
    """A part folder as an interrupted build leaves it: the progress callback raises after some images."""

    def stop(done: int, total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(cache, progress=stop, workers=1)
    return cache.folder.with_name(cache.folder.name + ".part")


def test_half_written_journal_and_lost_pixels_are_done_again(items: ImageItems, tmp_path: Path) -> None:
    cache = make_cache(items, tmp_path / "cache")
    part = interrupted(cache, 64)
    with (part / "pixels.u8").open("r+b") as file:  # the disk lost a page that the journal says is there
        file.seek(100)
        file.write(b"\0" * 50)
    with (part / "journal.jsonl").open("a") as journal:
        journal.write('{"chunk": 1, "cr')
    build(cache)
    pixels = cache.open().pixels
    assert all(np.array_equal(pixels[row], decode(items.source, items.ids[row], 24)) for row in range(150))


def test_file_changed_between_two_attempts_is_decoded_again(items: ImageItems, tmp_path: Path) -> None:
    cache = make_cache(items, tmp_path / "cache")
    interrupted(cache, 64)
    target = tmp_path / "images" / "0010.jpg"
    Image.new("RGB", (30, 30), (255, 0, 0)).save(target)
    build(cache)
    assert np.array_equal(cache.open()[0][10], decode(items.source, "0010.jpg", 24))


def test_unreadable_image_stops_the_build_and_the_repaired_one_finishes(items: ImageItems, tmp_path: Path) -> None:
    target = tmp_path / "images" / "0100.jpg"
    whole = target.read_bytes()
    target.write_bytes(whole[:-100])
    cache = make_cache(items, tmp_path / "cache")
    with pytest.raises(DataError, match=r"0100\.jpg: cannot be read as an image"):
        build(cache)
    assert not cache.is_built
    target.write_bytes(whole)
    build(cache)
    assert cache.is_built


def test_missing_images_are_counted_before_any_is_decoded(items: ImageItems, tmp_path: Path) -> None:
    for number in (7, 8, 120):
        (tmp_path / "images" / f"{number:04d}.jpg").unlink()
    with pytest.raises(DataError, match=r"set-test: 3 of 150 images missing, first .*0007\.jpg"):
        build(make_cache(items, tmp_path / "cache"), progress=lambda done, total: pytest.fail("decoded"))


def test_cache_of_another_code_version_is_refused(built: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CACHE_VERSION", 99)
    with pytest.raises(DataError, match=r"was built by cache version \d+, this code has version 99; delete .*--rebuild"):
        built.open()


def test_cache_of_other_images_is_refused(built: ImageCache, items: ImageItems, tmp_path: Path) -> None:
    other = make_cache(items.take(range(149, -1, -1)), tmp_path / "cache")
    built.folder.rename(other.folder)
    with pytest.raises(DataError, match="holds other images than 'set-test' has"):
        other.open()


def test_cache_of_changed_files_is_refused(built: ImageCache, tmp_path: Path) -> None:
    time.sleep(0.01)
    (tmp_path / "images" / "0070.jpg").write_bytes((tmp_path / "images" / "0071.jpg").read_bytes())
    with pytest.raises(DataError, match=r"was built from other files: some of the 64 images from .*0064\.jpg"):
        built.open()


def test_short_or_damaged_pixels_are_found(built: ImageCache) -> None:
    with built.pixels.open("r+b") as file:
        file.seek(80 * built.row_bytes)
        file.write(b"\x01" * 7 if file.read(7) != b"\x01" * 7 else b"\x02" * 7)
    assert [rows[0] for rows in built.damaged()] == [64]
    with built.pixels.open("ab") as file:
        file.truncate(built.total_bytes - 1)
    with pytest.raises(DataError, match=r"pixels\.u8: is not 259200 bytes long"):
        built.open()


def test_unreadable_index_is_refused(built: ImageCache) -> None:
    index = json.loads((built.folder / "index.json").read_text())
    for content in ("{", json.dumps({**index, "extra": 1}), json.dumps({**index, "crcs": index["crcs"][:1]})):
        (built.folder / "index.json").write_text(content)
        with pytest.raises(DataError, match=r"index\.json|holds other images"):
            built.open()


def test_no_room_is_said_before_decoding(items: ImageItems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ImageCache(items, "set-test", 24, "centre", tmp_path / "cache")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(DataError, match=r"cache of 'set-test' needs 0\.3 MB but 0\.0 MB are free"):
        build(cache)
    assert not cache.is_built


def test_cache_folder_that_cannot_be_made(items: ImageItems, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be made for the image cache .*CODYRA_SUITE_CACHE"):
        build(make_cache(items, tmp_path / "file" / "cache"))
    cache = make_cache(items, tmp_path / "cache")
    (cache.root / f"{cache.folder.name}.lock").mkdir(parents=True)  # as unwritable as a folder of another user
    with pytest.raises(DataError, match=r"\.lock: cannot be made for the image cache .*CODYRA_SUITE_CACHE"):
        build(cache)


def test_only_one_of_two_builders_works(items: ImageItems, tmp_path: Path) -> None:
    calls: list[int] = []
    caches = [make_cache(items, tmp_path / "cache") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda cache: build(cache, progress=lambda done, _: calls.append(done)), caches))
    assert calls.count(150) == 1
    assert caches[0].open()[0].shape[0] == 150


def test_reading_does_not_pile_up_resident_memory(tmp_path: Path) -> None:
    """48 MB of pixels read in batches; a plain memory map would keep them all resident."""
    items = make_items(tmp_path / "images", 8).take(np.arange(400) % 8)
    cache = make_cache(items, tmp_path / "cache", size=200)
    build(cache)
    pixels = cache.open().pixels
    process, rows = psutil.Process(), np.arange(16)
    total = int(pixels[rows].sum())
    before = process.memory_info().rss
    for first in range(0, 400, 16):
        total += int(pixels[rows + first].sum())
    assert process.memory_info().rss - before < 12 << 20
    assert total > 0


def test_cache_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CODYRA_SUITE_CACHE", str(tmp_path / "named"))
    assert cache_root() == tmp_path / "named"
    monkeypatch.delenv("CODYRA_SUITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "codyra-suite"
