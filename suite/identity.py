"""Identity of a run: hash(resolved config + data fingerprint + code version). Equal identity means: reuse, don't train again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from suite.benchmarks.stream import text_hash
from suite.config import RunConfig, canonical_hash

ROOT = Path(__file__).resolve().parent.parent
COMMIT_FILE = "commit.json"  # beside a copy of the packages that was taken from a checkout: the checkout's commit
# Code that can change a number; the command line, tables and tracking cannot.
DECIDING = (
    *("suite/backbones", "suite/benchmarks", "suite/data", "suite/lowrank", "suite/metrics", "trainables", "baselines"),
    *("suite/runs/outcomes.py", "suite/randomness.py"),
)
WEIGHTS = "suite/backbones/weights/"
CARRIERS = ("trainables/direct.py", "trainables/train.py")
NAMED_VERSIONS = ("codyra-suite", "torch", "open_clip_torch", "transformers", "numpy", "ray", "optuna", "mlflow")


def run_id(config: RunConfig, fingerprint: str) -> str:
    """16 hex digits that name a run everywhere: folder, MLflow tag, Optuna attribute, checkpoint."""
    return text_hash([canonical_hash(config.resolved()), fingerprint, code_version()])[:16]


def code_version(root: Path = ROOT) -> str:
    """Hash over source and shipped weights, which decide numbers; equal for a checkout and an installed copy; 16 hex digits."""
    digest = hashlib.sha256()
    for place in DECIDING:
        for path in [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.*")):
            name = path.relative_to(root).as_posix()
            decides = path.suffix == ".py" or (name.startswith(WEIGHTS) and path.is_file())
            if not decides or name in CARRIERS or "perf_" in path.name:
                continue
            data = path.read_bytes()
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()[:16]


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


def hardware(device: torch.device) -> dict[str, Any]:
    """Processor, cores, threads in use and accelerator."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"gpu": properties.name, "gpu_bytes": properties.total_memory}
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
