"""Run folders copied to and from a shared storage, for clusters whose nodes share no folder."""

from __future__ import annotations

import errno
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import ConfigError, DataError, SuiteError
from suite.files import atomic_write

RECORD = "record.json"


class RunMirror:
    """Mirror below ``<uri>/runs``; with ``uri`` None every call does nothing. Where it is used, the mirror is the truth.

    The record goes last, so that what it promises is there; a file that has left the run's folder leaves the mirror too.

    Args:
        uri: anything that pyarrow (``s3://bucket/codyra``, ``gs://...``, ``file:///nfs/codyra``) or else fsspec opens.
    """

    def __init__(self, uri: str | None) -> None:
        self.uri = uri
        self._place: tuple[Any, str] | None = None

    def push(self, folder: Path) -> None:
        """Bring a run's folder into the mirror.

        Raises:
            ConfigError: the storage cannot be opened.
            DataError: it cannot be written, or holds names that lead out of the run's folder.
        """
        if self.uri is not None:
            with self._told("written"):
                self._push(folder)

    def _push(self, folder: Path) -> None:
        system, base = self._open()
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if _belongs(path)}
        there = self._sizes(folder.name)
        for name in sorted(files, key=lambda name: name == RECORD):
            if _is_final(name) and there.get(name) == files[name].stat().st_size:
                continue
            target = f"{base}/{folder.name}/{name}"
            system.create_dir(target.rpartition("/")[0], recursive=True)
            with system.open_output_stream(f"{target}.part") as stream:
                stream.write(files[name].read_bytes())
            system.move(f"{target}.part", target)
        for name in there.keys() - files.keys():
            system.delete_file(f"{base}/{folder.name}/{name}")

    def pull(self, folder: Path) -> None:
        """Fetch a run's folder from the mirror unless the record here is the mirror's.

        Raises:
            ConfigError: the storage cannot be opened.
            DataError: it cannot be read, or holds names that lead out of the run's folder.
        """
        if self.uri is not None:
            with self._told("read"):
                self._pull(folder)

    def _pull(self, folder: Path) -> None:
        names = sorted(self._sizes(folder.name), key=lambda name: name == RECORD)
        if RECORD not in names:
            return
        record = folder / RECORD
        if record.is_file() and record.read_bytes() == self._read(folder.name, RECORD):
            return
        for name in names:
            atomic_write(folder / name, self._read(folder.name, name))

    def require_writable(self) -> None:
        """Write a small file and take it away again, before anything is trained that could not be kept.

        Raises:
            ConfigError: the storage cannot be opened.
            DataError: it cannot be written.
        """
        if self.uri is None:
            return
        with self._told("written"):
            system, base = self._open()
            probe = f"{base}/probe-{secrets.token_hex(8)}"
            system.create_dir(base, recursive=True)
            with system.open_output_stream(probe) as stream:
                stream.write(b"codyra-suite")
            system.delete_file(probe)

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Whatever the storage's client raises becomes one sentence; nothing that was not mirrored goes on in silence."""
        try:
            yield
        except SuiteError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # carriers know what a full disk asks for
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"storage: '{self.uri}' cannot be {done} ({reason}); name a storage that you may read and write.") from error

    def _read(self, run_id: str, name: str) -> bytes:
        system, base = self._open()
        with system.open_input_stream(f"{base}/{run_id}/{name}") as stream:
            data: bytes = stream.read()
        return data

    def _sizes(self, run_id: str) -> dict[str, int]:
        """Name -> bytes of what the mirror has of a run."""
        from pyarrow.fs import FileSelector

        system, base = self._open()
        place = f"{base}/{run_id}"
        entries = system.get_file_info(FileSelector(place, recursive=True, allow_not_found=True))
        sizes = {entry.path.removeprefix(f"{place}/"): entry.size for entry in entries if entry.is_file}
        for name in sizes:
            self._require_inside(run_id, name)
        return sizes

    def _require_inside(self, run_id: str, name: str) -> None:
        """Whoever can write the storage may not write, or have deleted, anything else."""
        if "\\" in name or "\0" in name or {"", ".", ".."} & {*name.split("/")}:
            raise DataError(f"storage: '{self.uri}' holds '{name}' for run {run_id}, which leads out of the run's folder; remove it there.")

    def _open(self) -> tuple[Any, str]:
        if self._place is None:
            system, base = _file_system(str(self.uri))
            self._place = system, f"{base.rstrip('/')}/runs"
        return self._place


def _file_system(uri: str) -> tuple[Any, str]:
    if not uri.startswith("/") and ("://" not in uri or re.match(r"(file|local)://(?!/)", uri)):
        raise ConfigError(f"storage: '{uri}' is relative, and nodes have other working folders; write it as file:///FULL/PATH.")
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        return FileSystem.from_uri(uri)  # type: ignore[no-any-return]
    except (ArrowException, OSError, ValueError) as first:
        try:
            import fsspec

            system, base = fsspec.url_to_fs(uri)
            return PyFileSystem(FSSpecHandler(system)), base
        except (ImportError, ValueError, OSError):
            reason = str(first).splitlines()[0]
            raise ConfigError(
                f"storage: '{uri}' cannot be opened ({reason}); use a URI such as s3://bucket/folder or file:///nfs/folder."
            ) from None


def _belongs(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _is_final(name: str) -> bool:
    """Checkpoint files are written once under their name; the others change with every task."""
    return name.startswith("checkpoints/")
