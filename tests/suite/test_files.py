"""One writer for all outputs, and one sentence for whatever is wrong with a path."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from suite.errors import DataError
from suite.files import atomic_write, is_standard_output, sqlite_uri, write_output
from suite.tracking.mlflow_place import database_file


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


def test_a_replaced_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("before")
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "ahead").symlink_to("later")
    atomic_write(tmp_path / "link", b"after")
    atomic_write(tmp_path / "ahead", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_bytes() == b"after"
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    assert (tmp_path / "ahead").is_symlink()
    assert (tmp_path / "later").read_bytes() == b"new"


def test_devices_and_pipes_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    before = Path("/dev/null").stat()
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "null"):
        atomic_write(path, b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert Path("/dev/null").stat().st_rdev == before.st_rdev
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    atomic_write(tmp_path / "pipe", b"through")
    reader.join()
    assert read == [b"through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("place", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_standard_output_is_written_in_order_wherever_it_leads(tmp_path: Path, place: str, into: str) -> None:
    script = f"""
from pathlib import Path
from suite.files import is_standard_output, write_output
print("before")
assert is_standard_output(Path({place!r}))
write_output(Path({place!r}), b"data\\n")
print("after")
"""
    target = tmp_path / "out"
    with target.open("wb") as file:
        done = subprocess.run([sys.executable, "-c", script], check=True, stdout=file if into == "file" else subprocess.PIPE)
    found = target.read_bytes() if into == "file" else done.stdout
    assert found == b"before\ndata\nafter\n"


def test_a_file_named_like_a_descriptor_is_a_file(tmp_path: Path) -> None:
    assert not is_standard_output(tmp_path / "1")
    assert not is_standard_output(None)
    write_output(tmp_path / "1", b"x")
    assert (tmp_path / "1").read_bytes() == b"x"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    atomic_write(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: cannot be written \(Is a directory\); give the path of a file"):
        atomic_write(tmp_path / "folder", b"x")
    with pytest.raises(DataError, match=r"below: cannot be written \((File exists|Not a directory)\)"):
        atomic_write(tmp_path / "file" / "below", b"x")
    with pytest.raises(DataError, match=r"deep: cannot be written \((File exists|Not a directory)\)"):
        atomic_write(tmp_path / "file" / "below" / "deep", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("x" * 300, "File name too long"),
        ("loop", "symbolic links"),
        ("/proc/nope", "No such file or directory"),
        ("/proc/self/nope/deep", "No such file or directory"),
        ("/dev/fd/99", "No such file or directory|Permission denied|Operation not permitted"),
    ],
)
def test_whatever_is_wrong_with_a_path_is_one_sentence(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(
        DataError, match=rf"cannot be written \(.*({reason}).*\); give the path of a file in a folder of yours\."
    ):
        atomic_write(tmp_path / place, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_name_of_the_longest_length_is_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("ü" * 127), b"x")
    assert (tmp_path / ("ü" * 127)).read_bytes() == b"x"


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41b", "a b", "ü'q", "plain"])
def test_a_path_in_a_database_uri_leads_to_that_path(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    file = tmp_path / name / "x.db"
    with create_engine(sqlite_uri(file)).connect() as connection:
        connection.execute(text("create table t (a int)"))
        connection.commit()
    assert file.is_file()
    assert database_file(sqlite_uri(file)) == file.resolve()
    assert [path.name for path in tmp_path.iterdir()] == [name]
