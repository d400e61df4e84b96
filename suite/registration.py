"""Closed tables of names that outside packages may add to, through the entry-point group of each table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass
from traceback import extract_tb
from typing import Any, Generic, TypeVar, get_args

from suite.errors import ConfigError, SuiteError, raised, unknown_name

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        target: where the object lives, ``module:attribute``.
        summary: one line for lists.
        package: name and version of the outside package that added the row; None for the suite's own.
        key: the object's key in the mapping that ``target`` names; None when ``target`` names the object itself.
    """

    target: str
    summary: str
    package: tuple[str, str] | None = None
    key: str | None = None

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def owner(self) -> str:
        return "the suite" if self.package is None else f"package '{' '.join(self.package)}'"


@dataclass(frozen=True)
class RowsOf(Mapping[str, Entry]):
    """A row for every object of the mapping that ``target`` names, which is imported when the first row is asked for."""

    target: str

    def __getitem__(self, name: str) -> Entry:
        if name not in _imported(self.target):
            raise KeyError(name)
        return Entry(self.target, "", key=name)

    def __iter__(self) -> Iterator[str]:
        return iter(_imported(self.target))

    def __len__(self) -> int:
        return len(_imported(self.target))


@dataclass(frozen=True)
class Registry(Generic[T]):
    """A closed table of names; ``registry[name]`` imports, checks and returns the object.

    Attributes:
        base: the class, as ``module:attribute``, that an object is an instance of, or with ``of_classes`` a subclass of.
        are_named: objects say their own name, which must be that of their row.
        owes: class attributes that every object must have.
    """

    kind: str
    group: str
    base: str
    own: Mapping[str, Entry] = field(repr=False)
    of_classes: bool = True
    are_named: bool = False
    owes: tuple[str, ...] = ()

    @cached_property
    def _found(self) -> tuple[dict[str, Entry], dict[str, str]]:
        """Usable rows, and for names that outside packages take in vain the sentence that says so."""
        added: dict[str, list[Entry]] = {}
        for point in entry_points(group=self.group):
            added.setdefault(point.name, []).append(_outside(point))
        table, refused = dict(self.own), {}
        for name, rows in added.items():
            if name not in self.own and len(rows) == 1:
                table[name] = rows[0]
                continue
            owners = [row.owner for row in ([self.own[name]] if name in self.own else []) + rows]
            refused[name] = f"{self.kind} '{name}' is added by {' and by '.join(owners)}; rename it in one, or uninstall one."
        return table, refused

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._found[0]

    @property
    def refused(self) -> Mapping[str, str]:
        """Name -> why a row of an outside package is not in the table; of a name that the suite has, the suite's row is."""
        return self._found[1]

    def __getitem__(self, name: str) -> T:
        return self.find(name)

    def find(self, name: str, *, where: str = "") -> T:
        """The object of ``name``; ``where`` is the field of a config that asks for it.

        Raises:
            ConfigError: no such name, or an outside package's that several have, that cannot be imported or is of another kind.
        """
        if name not in self.entries:
            if name in self.refused:
                raise ConfigError(self.refused[name])
            raise unknown_name(self.kind, name, self.entries, where=where)
        entry = self.entries[name]
        if entry.package is None:
            return _object(entry)  # type: ignore[no-any-return]
        about = f"{self.kind} '{name}' of {entry.owner}"
        try:
            found = _object(entry)
        except BaseException as error:  # whatever a stranger's module does when it is imported, and be it to exit
            if isinstance(error, KeyboardInterrupt) and not _raises(error):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ConfigError(
                f"{about}: '{entry.target}' cannot be imported ({reason}); correct or uninstall the package."
            ) from error
        if (wrong := self._wrong(name, found)) is not None:
            raise ConfigError(f"{about}: '{entry.target}' {wrong}; correct or uninstall the package.")
        return found  # type: ignore[no-any-return]

    def _wrong(self, name: str, found: Any) -> str | None:
        """What an object of an outside package lacks to be a row of this table."""
        base = _imported(self.base)
        if not (isclass(found) and issubclass(found, base) if self.of_classes else isinstance(found, base)):
            return f"is not {'a class derived from' if self.of_classes else 'a'} {base.__name__}"
        lacking = [key for key in self.owes if not hasattr(found, key)] + sorted(getattr(found, "__abstractmethods__", ()))
        if lacking:
            return f"lacks {', '.join(lacking)}"
        if self.are_named and name not in (own := _own_names(found)):
            said = f"calls itself '{own[0]}'" if own else "has no name of its own"
            return f"{said}, and its entry point is '{name}': both must be the same"
        return None

    @contextmanager
    def named_faults(self, name: str) -> Iterator[None]:
        """What the object ``name`` raises inside becomes one sentence with its package; the suite's own rows keep their traceback.

        Raises:
            SuiteError: an outside package's object raised.
        """
        try:
            yield
        except SuiteError:
            raise
        except Exception as error:
            entry = self.entries[name]
            if entry.package is None:
                raise
            raise SuiteError(
                f"{self.kind} '{name}' of {entry.owner}: {raised(error)}; correct or uninstall the package."
            ) from error

    def usable(self) -> tuple[list[str], list[str]]:
        """Names whose object can be had, and the sentence that says why for every other row of an outside package."""
        names, reasons = [], list(self.refused.values())
        for name, entry in self.entries.items():
            try:
                if entry.package is not None:
                    self.find(name)
                names.append(name)
            except ConfigError as error:
                reasons.append(str(error))
        return names, reasons

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


def _outside(point: EntryPoint) -> Entry:
    package = ("unknown", "") if point.dist is None else (point.dist.name, point.dist.version)
    return Entry(point.value, f"from {point.value}", package)


def _object(entry: Entry) -> Any:
    found = _imported(entry.target)
    return found if entry.key is None else found[entry.key]


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _own_names(found: Any) -> list[str]:
    """What an object says that it is called: a config's field ``name``, or an attribute."""
    fields = getattr(found, "model_fields", None)
    names = [getattr(found, "name", None)] if fields is None else [fields["name"].default, *get_args(fields["name"].annotation)]
    return [name for name in names if isinstance(name, str)]


def _raises(error: BaseException) -> bool:
    """Whether a package's own line says ``raise``; Ctrl-C comes from a handler or in the middle of some other line."""
    frames = extract_tb(error.__traceback__)
    return bool(frames) and (frames[-1].line or "").startswith("raise ")
