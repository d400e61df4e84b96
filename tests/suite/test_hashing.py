"""Hashes of files: bytes alone decide, a large file is read once, and what is kept about it is never believed blindly."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suite import hashing
from suite.hashing import file_hash, place_hash


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file above the size from which hashes are kept, that was last changed long ago."""
    monkeypatch.setenv("CODYRA_SUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED_NS", 0)
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 8192)
    return path


def kept(path: Path) -> list[Path]:
    return [file for file in (path.parent / "cache").rglob("*") if file.is_file()]


def test_a_large_file_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = hashlib.sha256(large.read_bytes()).hexdigest()
    assert file_hash(large) == expected
    monkeypatch.setattr(hashlib, "file_digest", None)  # reading again would raise
    assert file_hash(large) == expected
    assert len(kept(large)) == 1


def test_bytes_replaced_in_place_with_equal_size_and_time_are_seen(large: Path) -> None:
    before, state = file_hash(large), large.stat()
    with large.open("r+b") as file:
        file.write(b"\xff")
    os.utime(large, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert large.stat().st_mtime_ns == state.st_mtime_ns
    assert file_hash(large) != before


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 64, b"0" * 64 + b" " + b"0" * 64])
def test_what_is_damaged_in_the_cache_is_computed_again(large: Path, damage: bytes) -> None:
    expected = file_hash(large)
    (entry,) = kept(large)
    entry.write_bytes(damage)
    assert file_hash(large) == expected
    assert entry.read_bytes() != damage


def test_many_at_once_agree_and_a_cache_that_cannot_be_written_is_none(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(file_hash, [large] * 32))) == 1
    assert len(kept(large)) == 1
    monkeypatch.setenv("CODYRA_SUITE_CACHE", str(large / "below a file"))
    assert file_hash(large) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_file_that_has_just_changed_is_not_kept(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "SETTLED_NS", 3_600_000_000_000)
    file_hash(large)
    assert not kept(large)


def test_a_folder_is_its_names_and_bytes_wherever_it_lies(tmp_path: Path) -> None:
    for copy in ("one", "other"):
        (tmp_path / copy / "inner").mkdir(parents=True)
        (tmp_path / copy / "a").write_bytes(b"a")
        (tmp_path / copy / "inner" / "b").write_bytes(b"b")
    (tmp_path / "other" / ".hidden").write_bytes(b"left by a tool")
    assert place_hash(tmp_path / "one") == place_hash(tmp_path / "other")
    (tmp_path / "other" / "inner" / "b").rename(tmp_path / "other" / "b")
    assert place_hash(tmp_path / "one") != place_hash(tmp_path / "other")
