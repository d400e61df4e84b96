"""The files that code is made of: a module, what it imports, what that imports; found by reading, not by importing.

- An import counts wherever it stands, inside functions too: what is loaded late decides numbers as much as what is loaded
  early. Only imports under ``if TYPE_CHECKING`` do not, because they never run. With a module come the ``__init__`` files above it.
- The suite's own packages are followed module by module. ``suite.registry`` is left out: it gives names to modules that are
  themselves where a closure begins, and must be free to gain a row.
- Of an outside package all files count, tables and weights among them, because plug-ins load their own parts in ways that
  nobody can read; only hidden files and what Python and runs write there do not. From there on,
  outside packages that are no installed library (code in a folder of the user's, an editable installation) are followed too.
- Libraries are not followed; their versions stand in the record.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.machinery import BYTECODE_SUFFIXES, SOURCE_SUFFIXES
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from suite.errors import ConfigError
from suite.runs.provenance import ROOT

PACKAGES = ("suite", "trainables", "baselines", "search_spaces")
LEFT_OUT = "suite.registry"
LIBRARIES = frozenset({"site-packages", "dist-packages"})
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
WRITTEN = frozenset({"__pycache__", "codyra-runs", "mlartifacts", "mlruns"})
WRITTEN_BEGINNINGS = (".", "mlflow.db")


def closure(modules: Iterable[str], root: Path = ROOT) -> Mapping[str, Path]:
    """Name -> file of everything that ``modules`` are made of; ``root`` is the folder of the suite's own packages.

    Names are relative to the folder that a package lies in, so that they are equal wherever it is installed.

    Raises:
        ConfigError: a module without a source file.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        top = module.partition(".")[0]
        unit = module if top in PACKAGES else top  # outside packages are taken whole
        if unit in seen:
            continue
        seen.add(unit)
        files = _own(unit, root) if top in PACKAGES else _outside(unit)
        found |= files
        for path in files.values():
            waiting += [name for name in imported(path) if _is_followed(name, root)]
    return found


def _own(module: str, root: Path) -> dict[str, Path]:
    """The module's file and the ``__init__`` files of the packages around it."""
    parts = module.split(".")
    paths = [root.joinpath(*parts[:length], "__init__.py") for length in range(1, len(parts) + 1)]
    paths.append(root.joinpath(*parts).with_suffix(".py"))
    return {path.relative_to(root).as_posix(): path for path in paths if path.is_file()}


def _outside(package: str) -> dict[str, Path]:
    """Every file of an outside package, or the one file of an outside module."""
    places = _places(package)
    if not places:
        raise ConfigError(
            f"'{package}': has no source file, so a run cannot be named after its code; put the class into a module or a package."
        )
    found: dict[str, Path] = {}
    for place in places:
        files = [place] if place.is_file() else sorted(_files(place))
        found |= {path.relative_to(place.parent).as_posix(): path for path in files if path.is_file()}
    return found


def _files(package: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(package):
        inner[:] = [name for name in inner if not is_left_out(name)]
        yield from (Path(folder, name) for name in files if not is_left_out(name))


def is_left_out(name: str) -> bool:
    """Whether a file or folder of this name inside a package is no part of it: hidden, or written by using the package."""
    return name in WRITTEN or name.startswith(WRITTEN_BEGINNINGS) or name.endswith(tuple(BYTECODE_SUFFIXES))


@lru_cache(maxsize=4096)
def _is_followed(name: str, root: Path) -> bool:
    top = name.partition(".")[0]
    if top in PACKAGES:
        return name != LEFT_OUT and bool(_own(name, root))
    if top in sys.stdlib_module_names:
        return False
    places = _places(top)
    return bool(places) and not any(_is_library(top, place) for place in places)


@lru_cache
def _places(name: str) -> tuple[Path, ...]:
    """Folders of an importable package, or the file of a module; none when there is no such thing or no source of it."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # ValueError: what runs as a script has no spec
        spec = None
    if spec is None:
        file = getattr(sys.modules.get(name), "__file__", None)
        return (Path(file).resolve(),) if file else ()
    if spec.submodule_search_locations is not None:
        return tuple(Path(place).resolve() for place in spec.submodule_search_locations)
    return (Path(spec.origin).resolve(),) if spec.has_location and spec.origin else ()


def _is_library(name: str, place: Path) -> bool:
    """Whether what is imported as ``name`` from ``place`` was installed there, and is no code that somebody works on."""
    if place.parent.name in LIBRARIES or any(place.is_relative_to(folder) for folder in _python_folders()):
        return True
    return name in _installed(place.parent)


@lru_cache
def _python_folders() -> frozenset[Path]:
    """Folders that Python's own modules and what is installed for it lie in."""
    return frozenset(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


@lru_cache
def _installed(folder: Path) -> frozenset[str]:
    """What distributions have installed into a folder of another name, as with ``pip install --target``.

    Only those with a list of installed files: a source folder may hold the metadata of its own editable installation.
    """
    found = [one for one in distributions(path=[str(folder)]) if one.read_text("RECORD") is not None]
    return frozenset(file.parts[0].partition(".")[0] for one in found for file in one.files or ())


def imported(path: Path) -> frozenset[str]:
    """Absolute names that a source file imports, with ``a.b`` and ``a.b.c`` for ``from a.b import c``; none of an extension."""
    if not path.name.endswith(tuple(SOURCE_SUFFIXES)):
        return frozenset()
    return _imported(path.read_bytes())


@lru_cache(maxsize=1024)
def _imported(source: bytes) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a file of a plug-in that nobody imports: its bytes count, its imports cannot
        return frozenset()
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:  # a relative import stays inside a package that is taken whole
                found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:  # statements hold statements in few fields; expressions hold no import
            waiting += [inner for name in BLOCKS for inner in getattr(node, name, ())]
    return frozenset(found)
