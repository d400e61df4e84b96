"""Where commands and the Python API look and write: what is taken when nobody says otherwise, and what names no place at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from suite.errors import ConfigError
from suite.files import STANDARD_OUTPUT, descriptor_of

OUT = Path("codyra-runs")
DATA = Path("data")


def folder_named(path: Path | str) -> Path:
    """The folder that an option or an argument names, there or not.

    Raises:
        ConfigError: it names none, or standard output.
    """
    if str(path) in ("", str(STANDARD_OUTPUT)):
        raise ConfigError(f"'{path}' is not a folder; give the path of one, '.' is the working folder.")
    return Path(path)


def results_folder(path: Path | str, option: str = "--out") -> Path:
    """The folder for results that ``option`` or an argument names, there or not; nothing is made.

    Raises:
        ConfigError: it names none, or no result could be written there.
    """
    place = folder_named(path)
    above = place.absolute()
    there = next(one for one in (above, *above.parents) if os.path.lexists(one))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = os.strerror(errno.EACCES if there.is_dir() else errno.ENOTDIR)
        raise ConfigError(f"{place}: cannot hold results ({reason}); name a folder that you may write with {option}.")
    return place


def output_file(path: Path | str) -> Path:
    """The file that is to be written; ``-`` and open descriptors are standard output and its like.

    Raises:
        ConfigError: it names none, a folder, or one in a folder that is not there; found before anything is done for it.
    """
    if str(path) == "":
        raise ConfigError("'' is not a file; give the path of the file to write, '-' is standard output.")
    place = Path(path)
    if place == STANDARD_OUTPUT or descriptor_of(place) is not None:
        return place
    if place.is_dir():
        raise ConfigError(f"'{place}' is a folder; give the path of the file to write.")
    if not place.parent.is_dir():
        raise ConfigError(f"'{place}' cannot be written, there is no folder '{place.parent}'; make it or name another file.")
    return place
