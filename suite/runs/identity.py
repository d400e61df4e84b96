"""Identity of a run: hash(resolved config + data fingerprint + code version). Equal identity means: reuse, don't train again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from suite.config import RunConfig
from suite.hashing import canonical_hash, text_hash
from suite.runs.provenance import ROOT

# Code that can change a number; the command line, tables and tracking cannot.
DECIDING = (
    *("suite/backbones", "suite/benchmarks", "suite/data", "suite/lowrank", "suite/metrics", "trainables", "baselines"),
    *("suite/runs/outcomes.py", "suite/randomness.py"),
)
WEIGHTS = "suite/backbones/weights/"
CARRIERS = ("trainables/direct.py", "trainables/train.py")


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
