"""Unpacks archives so that nothing lands outside the folder and nothing is half there under its final name."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from suite.errors import DataError

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


def unpack(archive: Path, kind: str, into: Path, inner: str | None = None) -> None:
    """The members of a ``tar`` (any compression), ``zip`` or ``gzip`` file below ``into``; ``none`` copies the file.

    Args:
        inner: a tar file inside the archive whose members are wanted instead of the archive's own.

    Raises:
        DataError: a member would land outside ``into``, or the archive is broken. Nothing is left in ``into`` then.
    """
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacking-", dir=into) as name:
        stage = Path(name)
        try:
            if inner is None:
                _extract(archive, kind, stage / "members")
            else:
                _extract(archive, kind, stage / "outer")
                _extract(stage / "outer" / inner, "tar", stage / "members")
        except tarfile.FilterError as error:
            raise DataError(f"{archive}: refused, because {error}; do not use this archive.") from None
        except BROKEN as error:
            raise DataError(f"{archive}: cannot be unpacked ({error}); delete it and load it again.") from None
        _merge(stage / "members", into)


def _extract(archive: Path, kind: str, folder: Path) -> None:
    folder.mkdir()
    if kind == "tar":
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(folder, filter="data")
    elif kind == "zip":
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.namelist():
                path = PurePosixPath(member)
                # zipfile would strip such parts and unpack the rest, but a benign archive has none
                if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in path.parts[0]:
                    raise DataError(f"{archive}: refused, because '{member}' leads outside; do not use this archive.")
            bundle.extractall(folder)
    elif kind == "gzip":
        with gzip.open(archive, "rb") as source, (folder / archive.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
    else:
        shutil.copy(archive, folder / archive.name)


def _merge(source: Path, target: Path) -> None:
    """Move everything of ``source`` below ``target``; folders that are there are filled, files replaced."""
    for entry in sorted(source.iterdir()):
        goal = target / entry.name
        if entry.is_dir() and goal.is_dir():
            _merge(entry, goal)
        else:
            entry.replace(goal)
