"""Gets image sets in torchvision's layout: from their publishers or from a mirror, always with checksums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suite.data.fetch import BytesProgress, Unreachable, fetch
from suite.data.image_facts import download_facts, stream_facts
from suite.data.layouts import FOLDERS, locate
from suite.data.readers_coop import SPLIT_FILES, read_coop
from suite.data.readers_torchvision import read_torchvision
from suite.data.unpack import unpack
from suite.errors import DataError, unknown_name

MTIL = ("mtil", "mtil-5shot", "mtil-16shot")
FileProgress = Callable[[str], BytesProgress]
"""Called with a file's name; returns what is told about its bytes."""


@dataclass(frozen=True)
class Wanted:
    """One data set as MTIL or X-TAIL reads it.

    Attributes:
        name: its name in ``layouts.FOLDERS``.
        split: its X-TAIL name when X-TAIL is to read it.
        both: X-TAIL is to read it, and MTIL as well.
    """

    name: str
    split: str | None = None
    both: bool = False


@dataclass(frozen=True)
class Pulled:
    """What became of one data set: there before, loaded now, or still missing with what to do about it."""

    name: str
    state: Literal["there", "loaded", "missing"]
    note: str = ""


def wanted_sets(names: Sequence[str]) -> list[Wanted]:
    """Data sets behind names of benchmarks (``mtil``, ``xtail``), MTIL or X-TAIL ids; an id that both have means both.

    Raises:
        ConfigError: for any other name.
    """
    wanted: dict[str, Wanted] = {}
    places = {name: SPLIT_FILES[name].place if name in SPLIT_FILES else name for name in stream_facts("xtail")["sets"]}
    for name in names:
        sets = [Wanted(each) for each in FOLDERS if name in (*MTIL, each)]
        sets += [Wanted(place, each) for each, place in places.items() if name in ("xtail", each)]
        if not sets:
            raise unknown_name("data set that can be pulled", name, {*MTIL, "xtail", *FOLDERS, *places})
        for new in sets:
            old = wanted.get(new.name, new)
            wanted[new.name] = Wanted(new.name, old.split or new.split, old.both or old.split != new.split)
    return list(wanted.values())


def pull(wanted: Wanted, root: Path, mirror: str | None = None, progress: FileProgress | None = None) -> Pulled:
    """Make one data set complete below ``root``; archives are kept in ``<root>/downloads``.

    Args:
        mirror: address of a folder (``file:///...`` or ``https://...``) with the archives under their own names.

    Raises:
        DataError: a wrong checksum or a harmful archive. What merely cannot be reached is a ``missing`` result.
    """
    state: Literal["there", "loaded"] = "there"
    if _images_problem(root, wanted):
        try:
            _load(wanted.name, root, mirror, progress)
        except Unreachable as error:
            return Pulled(wanted.name, "missing", str(error))
        except OSError as error:
            raise DataError(
                f"{error.filename or root}: cannot be written ({error.strerror}); name another folder with --data-root."
            ) from None
        state = "loaded"
    problem = _images_problem(root, wanted)
    if not problem and wanted.split in SPLIT_FILES:
        problem = _split_problem(root, wanted.split, mirror)
    return Pulled(wanted.name, "missing", problem) if problem else Pulled(wanted.name, state)


def _load(name: str, root: Path, mirror: str | None, progress: FileProgress | None) -> None:
    for file in download_facts()["sets"][name]:
        archive = root / "downloads" / name / file["file"]
        urls = [f"{mirror.rstrip('/')}/{file['file']}"] if mirror else file["urls"]
        fetch(urls, file["md5"], archive, progress(file["file"]) if progress else None)
        unpack(archive, file["unpack"], root / file["into"], file.get("inner"))


def _images_problem(root: Path, wanted: Wanted) -> str:
    """Why the images cannot be read; empty when they can. X-TAIL needs fewer files of a set than MTIL does."""
    try:
        if wanted.split in SPLIT_FILES and not wanted.both:
            locate(root, wanted.name, (SPLIT_FILES[wanted.split].images,))
        else:
            read_torchvision(root, wanted.name)
    except DataError as error:
        return str(error)
    return ""


def _split_problem(root: Path, name: str, mirror: str | None) -> str:
    """Why X-TAIL cannot read the set although its images are there; its split file is taken from the mirror if it can be.

    CoOp publishes the files without checksums on pages that want a browser, so they are never loaded unasked.
    """
    split = SPLIT_FILES[name]
    place = locate(root, split.place, (split.images,))
    if mirror is not None and place.path(split.file) is None:
        try:
            fetch([f"{mirror.rstrip('/')}/{split.file}"], None, place.folder / split.file)
        except Unreachable as error:
            return str(error)
    try:
        read_coop(root, name)
    except DataError as error:
        page = download_facts()["split_files"][name]
        return f"{error} CoOp's split file, which X-TAIL alone needs, is at {page}; save it as {place.folder / split.file}."
    return ""
