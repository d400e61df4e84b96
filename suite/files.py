"""Files that a user names: one way to write an output, one way to say what is wrong with a path.

Outputs are replaced whole: a reader or a crash sees the old file or the new one, never a part. What is no regular file
(a device, a pipe, standard output) is written to and never replaced.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

from suite.errors import DataError

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


def write_output(path: Path, data: bytes) -> None:
    """Write what a user asked for into the place that an option names; ``-`` is standard output.

    Raises:
        DataError: as ``atomic_write``.
    """
    atomic_write(Path("/proc/self/fd/1") if path == STANDARD_OUTPUT else path, data)


def is_standard_output(path: Path | None) -> bool:
    """Whether writing to ``path`` writes to this process's standard output, so that nothing else may be printed there."""
    return path is not None and (path == STANDARD_OUTPUT or descriptor_of(path) == 1)


def atomic_write(path: Path, data: bytes) -> None:
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
            _replace(Path(os.path.realpath(path)), data, old)
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
    sys.stdout.flush()
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes, old: os.stat_result | None) -> None:
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
