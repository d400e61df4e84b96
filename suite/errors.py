"""Errors that a user can act on: one sentence with where, what, what is allowed and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pickle import UnpicklingError
from traceback import extract_tb
from typing import TypeVar

Found = TypeVar("Found")


class SuiteError(Exception):
    """A mistake of the user or of the run_context; the command line prints it in one line and exits with 2."""


class DataError(SuiteError):
    """Data on disk is missing, unreadable or not what the benchmark says it is."""


class DamagedRun(DataError):
    """What is stored of one run is damaged, changed or another run's; it concerns nobody but who asks for that run."""


class ConfigError(SuiteError):
    """A config file, option or name is not acceptable."""


class UndefinedMetric(SuiteError):
    """A stream leaves a metric without a value: too few tasks, cells that were never measured, nothing left after masking."""


class TrainingDiverged(SuiteError):
    """The loss or a weight became NaN or infinite; the run is recorded as failed."""


def library_reason(error: Exception) -> str:
    """First sentence of what a library said about a file that it could not read, on one line of at most 200 characters."""
    if isinstance(error, UnpicklingError):  # torch's own text advises to run the file
        return "it is neither a safetensors file nor a PyTorch file of tensors alone, and other pickles are never run"
    if isinstance(error, EOFError):
        return "the file is empty or cut short"
    words = " ".join(str(error).split()).partition(". ")[0]
    return words[:200] if len(words.split()) > 1 else f"{type(error).__name__} {words}".strip()


def raised(error: BaseException) -> str:
    """What was raised and by which line, in the words of a traceback's end: ``NameError: name 'x' is not defined (a.py:3, in loss)``."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    frames = extract_tb(error.__traceback__)
    return f"{said} ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else said


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name closest to ``name`` in edits whatever their case, or None when nothing is near."""
    from rapidfuzz import fuzz, process

    match = process.extractOne(name, list(allowed), scorer=fuzz.ratio, processor=str.casefold, score_cutoff=50.0)
    return match[0] if match else None


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, where: str = "") -> ConfigError:
    """Error for a name that is in no table: quotes it, offers the nearest, lists what is allowed."""
    names = sorted(allowed)
    near = nearest(name, names)
    hint = f" (nearest: '{near}')" if near else ""
    prefix = f"{where}: " if where else ""
    return ConfigError(
        f"{prefix}'{name}' is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}; use one of {', '.join(names)}{hint}."
    )


def require_known(kind: str, names: Iterable[str], allowed: Iterable[str], *, where: str = "") -> None:
    """Refuse the ``names`` that are not ``allowed``, all at once.

    Raises:
        ConfigError: see ``unknown_name``; with several of them, each with the nearest allowed name.
    """
    known = set(allowed)
    unknown = [name for name in names if name not in known]
    if len(unknown) == 1:
        raise unknown_name(kind, unknown[0], known, where=where)
    if unknown:
        hints = [f"'{name}'" + (f" (nearest: '{near}')" if (near := nearest(name, known)) else "") for name in unknown]
        prefix = f"{where}: " if where else ""
        raise ConfigError(f"{prefix}{', '.join(hints)}: none is a known {kind}; use some of {', '.join(sorted(known))}.")


def read_each(names: Iterable[str], read: Callable[[str], Found], *, where: str, field: str) -> dict[str, Found]:
    """``read`` of every name, all of them tried before anything is refused.

    Args:
        field: the setting that restricts ``names``; offered with the names that could be read.

    Raises:
        DataError: with every reason when ``read`` raised some.
    """
    found: dict[str, Found] = {}
    reasons: dict[str, str] = {}
    for name in names:
        try:
            found[name] = read(name)
        except DataError as error:
            reasons[name] = str(error).rstrip(".")
    if not reasons:
        return found
    count = f"{len(reasons)} of {len(reasons) + len(found)} tasks"
    several = f"{where}: {count} cannot be read ({', '.join(reasons)}): " if len(reasons) > 1 else ""
    others = f"; the others alone: {field}=[{','.join(found)}]" if found else ""
    raise DataError(f"{several}{'; '.join(reasons.values())}{others}.")
