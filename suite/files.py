"""Files that a user names: one way to read them, one way to write an output, one sentence for what is wrong with a path.

Outputs are replaced whole: a reader or a crash sees the old file or the new one, never a part. What is no regular file
(a device, a pipe, standard output) is written to and never replaced.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from suite.errors import DataError, SuiteError

STANDARD_OUTPUT = Path("-")
MOST_LINKS = 40  # as the kernel's own limit
# What is wrong with a path itself. A full disk or a broken one is not, and says so where it is met.
OF_THE_PATH = {
    errno.EACCES,
    errno.EBADF,
    errno.EBUSY,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ETXTBSY,
}
# What file managers, archives and file systems leave in folders; it means nothing to anybody else.
LITTER = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "lost+found",
}


@dataclass(frozen=True)
class Entry:
    """One entry of a folder: its name in composed Unicode (NFC), which is equal on every system, and where it lies."""

    name: str
    path: Path

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    @property
    def is_file(self) -> bool:
        """A regular file, links followed; pipes and devices, which may never end, are none."""
        return self.path.is_file()


def composed(name: str) -> str:
    """``name`` in composed Unicode: macOS stores ``é`` as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def is_litter(name: str) -> bool:
    """Whether an entry of this name is hidden, or was left by another system."""
    return name.startswith(".") or name.lower() in LITTER


def entries(folder: Path) -> list[Entry]:
    """What lies in a folder of the user, sorted by name; hidden entries and the litter of other systems are left out.

    Raises:
        DataError: the folder cannot be read, a name in it is not UTF-8, or two names are one in composed Unicode.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - plain names, some folders hold a million
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); give the path of a folder of yours.") from None
    found: dict[str, Entry] = {}
    for name in sorted(names):
        if is_litter(name):
            continue
        if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            raise DataError(f"{folder}: holds a name that is not UTF-8 ({os.fsencode(name)!r}); rename it.")
        entry = Entry(name if name.isascii() else composed(name), folder / name)
        if entry.name in found:
            raise DataError(
                f"{folder}: holds '{entry.name}' twice, in composed and in decomposed Unicode; rename or remove one."
            )
        found[entry.name] = entry
    return [found[name] for name in sorted(found)]


def entry_path(folder: Path, name: str) -> Path:
    """``folder / name``, or the entry there whose name is the same in another Unicode form."""
    place = folder / name
    if name.isascii() or place.exists() or not folder.is_dir():
        return place
    return next((entry.path for entry in entries(folder) if entry.name == composed(name)), place)


def sqlite_uri(path: Path | str) -> str:
    """SQLAlchemy's URI of a database file: what would begin a query or an escape in it is escaped."""
    return "sqlite:///" + "".join(quote(character) if character in "%?#" else character for character in str(path))


def regular_bytes(path: Path | str) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: there is none, or it is a folder, a pipe or a device, which may never end.
    """
    # without O_NONBLOCK a pipe that nobody writes to would be waited for here
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
        return file.read()


def read_bytes(path: Path, remedy: str, kind: type[SuiteError] = DataError) -> bytes:
    """The content of a file that the user named, or of an open descriptor such as ``/dev/stdin``.

    ``remedy`` ends the sentence of an error, which is of this ``kind``.
    """
    try:
        if (descriptor := descriptor_of(path)) is None:
            return regular_bytes(path)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise kind(f"{path}: there is no such file; {remedy}.") from None
    except IsADirectoryError:
        raise kind(f"{path}: is a folder; {remedy}.") from None
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); {remedy}.") from None
    except MemoryError:
        raise kind(f"{path}: is too large for this machine's memory; {remedy}.") from None


def read_text(path: Path, remedy: str, kind: type[SuiteError] = DataError) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; errors as ``read_bytes``."""
    try:
        return read_bytes(path, remedy, kind).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None


def read_json(path: Path, remedy: str) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: as ``read_text``; not JSON, a key that stands twice in one object, or NaN, infinity, an endless number.
    """
    text = read_text(path, remedy)
    if not text.strip():
        raise DataError(f"{path}: is empty; {remedy}.")
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({str(error).split(';')[0]}); {remedy}.") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"'{text}' is no number of JSON")


def make_folder(path: Path, remedy: str) -> None:
    """Make the folder that a user named for results, if it is not there; nothing of it is left to the first file inside.

    Raises:
        DataError: it cannot be made, or no file can be made in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = os.strerror(errno.ENOTDIR) if error.errno == errno.EEXIST else error.strerror
        raise DataError(f"{path}: cannot hold results ({reason}); {remedy}.") from None


def write_output(path: Path, data: bytes) -> None:
    """Write what a user asked for into the place that an option names; ``-`` is standard output.

    Raises:
        DataError: as ``atomic_write``.
    """
    atomic_write(Path("/proc/self/fd/1") if path == STANDARD_OUTPUT else path, data, makes_folder=False)


def is_standard_output(path: Path | None) -> bool:
    """Whether writing to ``path`` writes to this process's standard output, so that nothing else may be printed there."""
    return path is not None and (path == STANDARD_OUTPUT or descriptor_of(path) == 1)


@contextmanager
def printed_beside(*outputs: Path | None) -> Iterator[None]:
    """What is printed meanwhile goes to standard error when one of the ``outputs`` is standard output, which then holds data alone."""
    with redirect_stdout(sys.stderr) if any(is_standard_output(path) for path in outputs) else nullcontext():
        yield


def atomic_write(path: Path, data: bytes, *, makes_folder: bool = True) -> None:
    """Write ``data`` so that a reader or a crash sees the old file or the new one, never a part.

    Links are followed. A new file has the mode that the process's umask gives, a replaced one keeps its mode and, where
    the process may give it, its owner. Devices, pipes and open descriptors (``/dev/stdout``) are written to.

    Raises:
        DataError: no file can stand at ``path``, or none may be written there.
        OSError: the disk is full or broken; the old file is still there.
    """
    try:
        descriptor = descriptor_of(path)
        old = None if descriptor is not None else _state(path)
        if descriptor is not None:
            _write_descriptor(descriptor, data)
        elif old is not None and not stat.S_ISREG(old.st_mode):
            with path.open("wb") as file:
                file.write(data)
        else:
            _replace(Path(os.path.realpath(path)), data, old, makes_folder)
    except OSError as error:
        if error.errno not in OF_THE_PATH:
            if error.errno is not None:
                error.filename = error.filename or str(path)
            raise
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); give the path of a file in a folder of yours."
        ) from None


def descriptor_of(path: Path) -> int | None:
    """The open descriptor of this process that ``path`` stands for, as ``/dev/stdout`` and ``/dev/fd/3`` do."""
    own = {"/proc/self/fd", f"/proc/{os.getpid()}/fd"}
    place = path.absolute()
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(place.parent)
        if folder in own and place.name.isdecimal() and place.is_symlink():
            return int(place.name)
        try:
            place = Path(folder, os.readlink(place))  # noqa: PTH115 - a Path would lose the text of a relative target
        except OSError:
            return None
    return None


def _state(path: Path) -> os.stat_result | None:
    """What stands at ``path``, links followed; None when nothing does. OSError when a file may not be written there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return found


def _write_descriptor(descriptor: int, data: bytes) -> None:
    """Write after what was printed so far; a copy of the descriptor keeps the position of a file behind it."""
    (sys.__stdout__ or sys.stdout).flush()
    sys.stdout.flush()
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes, old: os.stat_result | None, makes_folder: bool) -> None:
    if makes_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}")
    # os.open and no temporary file of the standard library: those are private, this one has the mode that umask gives
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if old is not None:
                _take_over(file.fileno(), old)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _take_over(descriptor: int, old: os.stat_result) -> None:
    """Owner and mode of the file that is about to be replaced, as far as this process may give them."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
