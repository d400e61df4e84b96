"""Where a run's code comes from: commit, versions of packages. Stored beside a record, part of no identity."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT_FILE = "commit.json"  # beside a copy of the packages that was taken from a checkout: the checkout's commit
NAMED_VERSIONS = ("codyra-suite", "torch", "open_clip_torch", "transformers", "numpy", "ray", "optuna", "mlflow")


def commit_and_dirty(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """Commit of the checkout and whether it has uncommitted changes; None for an installed copy that names none."""
    if (root / COMMIT_FILE).is_file():
        stated = json.loads((root / COMMIT_FILE).read_text(encoding="utf-8"))
        return stated["commit"], stated["dirty"]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in NAMED_VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
