"""What travels to a cluster with a job: the packages' own files, the file of the sweep or tuning, the pinned environment; nothing else.

Ray uploads a job's working folder whole. It is therefore put together file by file in a fresh folder, so that environments,
results, data and git history beside the packages cannot slip in.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from suite.errors import ConfigError
from suite.runs.import_closure import is_left_out
from suite.runs.provenance import COMMIT_FILE, ROOT, commit_and_dirty

PACKAGES = ("suite", "trainables", "baselines", "search_spaces")
LOCK = "requirements.lock"
MOST_BYTES = 64 * 2**20
# Ray gives pip ten minutes, which torch alone can take on a slow line; an hour is the longest that is waited.
SETUP_SECONDS = 3600


def package_files(root: Path = ROOT, packages: Sequence[str] = PACKAGES) -> dict[str, Path]:
    """Path inside the working folder -> file, for everything below the packages that is neither hidden nor made by running them."""
    found: dict[str, Path] = {}
    for package in packages:
        for folder, names, files in os.walk(root / package):
            names[:] = sorted(name for name in names if not is_left_out(name) and not (Path(folder) / name).is_symlink())
            for name in sorted(files):
                if not is_left_out(name):
                    path = Path(folder) / name
                    found[path.relative_to(root).as_posix()] = path
    return found


def build_working_folder(
    folder: Path,
    asked: tuple[str, Path],
    outside: Mapping[str, Path | bytes] = MappingProxyType({}),
    *,
    root: Path = ROOT,
    most_bytes: int = MOST_BYTES,
) -> int:
    """Copy what a job needs, the file of the sweep or tuning under its new name and files of ``outside`` packages, into the empty ``folder``.

    Returns the number of bytes.

    Raises:
        ConfigError: it would be larger than ``most_bytes``; the largest files are named, nothing is copied.
    """
    files: dict[str, Path | bytes] = {**outside, **package_files(root), asked[0]: asked[1]}
    sizes = {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}
    total = sum(sizes.values())
    if total > most_bytes:
        largest = ", ".join(
            f"{name} ({sizes[name] / 2**20:.1f} MiB)" for name in sorted(sizes, key=lambda name: -sizes[name])[:3]
        )
        raise ConfigError(
            f"submit: the working folder would hold {total / 2**20:.1f} MiB, more than {most_bytes / 2**20:.0f}; largest: {largest}; "
            f"move what is not code out of {root}."
        )
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file, bytes):
            (folder / name).write_bytes(file)
        else:
            shutil.copyfile(file, folder / name)
    commit, dirty = commit_and_dirty(root)
    (folder / COMMIT_FILE).write_text(json.dumps({"commit": commit, "dirty": dirty}), encoding="utf-8")
    return total


def runtime_environment(path: Path, variables: dict[str, str], *, pinned: bool, root: Path = ROOT) -> None:
    """Write Ray's description of a job's environment: these variables and, if ``pinned``, the versions of the lock file.

    Ray itself is left out of the list: a job runs on the cluster's Ray, whose version is compared before.

    Raises:
        ConfigError: there is no lock file beside the packages.
    """
    fields: dict[str, Any] = {"env_vars": variables, "config": {"setup_timeout_seconds": SETUP_SECONDS}}
    if pinned:
        lock = root / LOCK
        if not lock.is_file():
            raise ConfigError(
                f"submit: {lock}: no such file, so the versions to install are unknown; add --no-env to use the cluster's own "
                "environment, or submit from a checkout."
            )
        lines = (line.strip() for line in lock.read_text(encoding="utf-8").splitlines())
        fields["pip"] = [line for line in lines if line and not line.startswith(("#", "ray=="))]
    path.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
