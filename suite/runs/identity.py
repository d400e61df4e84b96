"""Identity of a run: hash(resolved config, data fingerprint, code version). Equal identity means: reuse, don't train again.

Identity is content. Of the config the fields count, with the bytes of weights in the place of the path that names them; of
the data its fingerprint; of the code the files that the run's own trainer, method, benchmark and backbone are made of, so that
another method, a table, a figure, an exporter or a command renames no run (``suite.runs.import_closure`` has the rule).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from suite.config import RunConfig
from suite.errors import ConfigError
from suite.hashing import canonical_hash, file_hash, text_hash
from suite.parts import PartConfig
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.runs.import_closure import closure
from suite.runs.provenance import ROOT

# What every run needs beside its own parts: the trainer, row 0 and how scores are stored.
TRAINER = ("trainables.assemble", "trainables.stream_trainer", "suite.runs.outcomes")


def run_id(config: RunConfig, fingerprint: str) -> str:
    """16 hex digits that name a run everywhere: folder, MLflow tag, Optuna attribute, checkpoint."""
    return text_hash([canonical_hash(config.identity()), fingerprint, run_code(config)])[:16]


def run_code(config: RunConfig) -> str:
    """Code version of a run: of its method, benchmark and backbone and of the trainer; 16 hex digits."""
    return code_version(config.method, config.benchmark, config.backbone)


def code_version(*parts: PartConfig) -> str:
    """Hash over the files that the trainer and ``parts`` are made of, as they were when this process first asked; 16 hex digits.

    Equal for a checkout and an installed copy.

    Raises:
        ConfigError: a part whose class stands in no source file, or a file that cannot be read.
    """
    inside = [found for part in parts for found in part.with_parts_inside()]
    drawn_on = {entry.module for part in inside for entry in part.draws_on()}
    return code_hash(tuple(sorted({type(part).__module__ for part in inside} | drawn_on)))


@lru_cache
def code_hash(modules: tuple[str, ...], root: Path = ROOT) -> str:
    """The same for the modules that the parts' classes stand in, with the suite's own packages below ``root``."""
    digest = hashlib.sha256()
    for name, path in sorted(closure((*TRAINER, *modules), root).items()):
        try:
            digest.update(f"{name}\0{file_hash(path)}\0".encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise ConfigError(
                f"{path}: is part of the run's code and cannot be read ({error.strerror}); correct its rights."
            ) from None
    return digest.hexdigest()[:16]


def outside_versions(config: RunConfig) -> dict[str, str]:
    """Name -> version of the outside packages that the run's method, benchmark, backbone and text scores come from."""
    tables = ((METHODS, config.method), (BENCHMARKS, config.benchmark), (BACKBONES, config.backbone))
    inside = [(table, found) for table, part in tables for found in part.with_parts_inside()]
    entries = [table.entries.get(part.name) for table, part in inside]
    entries += [entry for _, part in inside for entry in part.draws_on()]
    return dict(entry.package for entry in entries if entry is not None and entry.package is not None)
