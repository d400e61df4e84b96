"""Run folders copied to and from a shared storage, for clusters whose nodes share no folder."""

from __future__ import annotations

import errno
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import ConfigError, DamagedRun, DataError, SuiteError
from suite.files import atomic_write
from suite.runs.record import RECORD, Record, parse_record, read_record


class RunMirror:
    """Mirror below ``<uri>/runs``; with ``uri`` None every call does nothing. Where it is used, the mirror is the truth.

    The record goes last, so that what it promises is there; a file that has left the run's folder leaves the mirror too. On neither
    side a record that is finished gives way to another one than itself.

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
        mirrored, here = self._record(folder.name) if RECORD in there else None, _record_in(folder)
        if not _gives_way(mirrored, here):
            return
        kept = set(_checkpoints(mirrored).items()) & set(_checkpoints(here).items())
        unchanged = {name for name, _ in kept if name in files and there.get(name) == files[name].stat().st_size}
        for name in sorted(files.keys() - unchanged, key=lambda name: name == RECORD):
            target = f"{base}/{folder.name}/{name}"
            system.create_dir(target.rpartition("/")[0], recursive=True)
            with system.open_output_stream(f"{target}.part") as stream:
                stream.write(files[name].read_bytes())
            system.move(f"{target}.part", target)
        for name in there.keys() - files.keys():
            system.delete_file(f"{base}/{folder.name}/{name}")

    def pull(self, folder: Path) -> None:
        """Fetch a run's folder from the mirror unless the record here is the mirror's, or finished and not in the mirror.

        Raises:
            ConfigError: the storage cannot be opened.
            DamagedRun: the mirror's record is damaged.
            DataError: it cannot be read, or holds names that lead out of the run's folder.
        """
        if self.uri is not None:
            with self._told("read"):
                self._pull(folder)

    def _pull(self, folder: Path) -> None:
        names = sorted(self._sizes(folder.name), key=lambda name: name == RECORD)
        if RECORD not in names:
            return
        record, mirrored = folder / RECORD, self._read(folder.name, RECORD)
        if record.is_file() and record.read_bytes() == mirrored:
            return
        found = parse_record(mirrored, where=f"{self.uri}: runs/{folder.name}/{RECORD}")
        if not _gives_way(_record_in(folder), found):
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
            raise DataError(
                f"storage: '{self.uri}' cannot be {done} ({reason}); name a storage that you may read and write."
            ) from error

    def _read(self, run_id: str, name: str) -> bytes:
        system, base = self._open()
        with system.open_input_stream(f"{base}/{run_id}/{name}") as stream:
            data: bytes = stream.read()
        return data

    def _record(self, run_id: str) -> Record | None:
        """The mirror's record of a run, None where it is damaged: a whole one may take its place."""
        try:
            return parse_record(self._read(run_id, RECORD), where=run_id)
        except DamagedRun:
            return None

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
            raise DataError(
                f"storage: '{self.uri}' holds '{name}' for run {run_id}, which leads out of the run's folder; remove it there."
            )

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


def _record_in(folder: Path) -> Record | None:
    """The record in a run's folder, None where there is none or it is damaged."""
    try:
        return read_record(folder)
    except DamagedRun:
        return None


def _gives_way(standing: Record | None, other: Record | None) -> bool:
    """Whether ``other`` may take the place of ``standing``: a finished record is only ever asked for by more studies."""
    if standing is None or standing.status != "finished":
        return True
    if other is None:
        return False
    more = {"reused_by": {**standing.reused_by, **other.reused_by}, "schema_version": other.schema_version}
    return other == standing.model_copy(update=more)


def _checkpoints(record: Record | None) -> dict[str, str]:
    """Checkpoint file -> checksum that the record holds of it; all other files change with every task."""
    results = record.results if record else []
    kinds = ("merged", "state")
    return {
        f"checkpoints/{kind}_{each.row}.safetensors": each.digests[kind]
        for each in results
        for kind in kinds
        if kind in each.digests
    }
