"""A finished run as a network again, from its folder: for export, replay and analysis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from suite.backbones.learner import BackboneConfig, Learner
from suite.config import RunConfig, validate
from suite.errors import ConfigError, DataError
from suite.lowrank.journal import Journal
from suite.randomness import RandomStreams
from suite.runs.identity import code_version
from suite.runs.outcomes import read_outcomes
from suite.runs.record import Record, read_record
from trainables.checkpoint import Checkpoints
from trainables.device import choose_device
from trainables.method import MethodConfig
from trainables.precision import evaluating, set_arithmetic


@dataclass(frozen=True)
class RestoredRun:
    """A run's record, config, learner (weights as after its last task) and journal of updates."""

    record: Record
    config: RunConfig
    learner: Learner
    journal: Journal
    folder: Path


def find_run(name: str, out: Path) -> Path:
    """The folder of the run ``name``: a path, a run id below ``out``, or a unique beginning of one.

    Raises:
        ConfigError: no such run, or several.
    """
    if (Path(name) / "record.json").is_file():
        return Path(name)
    found = sorted(path.parent for path in (out / "runs").glob("*/record.json") if path.parent.name.startswith(name))
    if len(found) == 1 and name:
        return found[0]
    if found:
        raise ConfigError(f"run '{name}': {len(found)} runs begin like this; give more of the id.")
    raise ConfigError(f"run '{name}': no such run below {out / 'runs'}; 'codyra-suite leaderboard' lists run ids.")


def restore(folder: Path, data_root: Path, device: str = "auto") -> RestoredRun:
    """Rebuild the network of a run from its backbone and its stored updates.

    Raises:
        DataError: other data or other code than the run had, or missing checkpoints.
    """
    record = read_record(folder)
    config = validate(RunConfig, record.config, where=str(folder / "record.json"))
    stream = config.benchmark.build(data_root)
    if stream.fingerprint() != record.data_fingerprint:
        raise DataError(f"run {record.run_id}: the data under {data_root} is not what it was trained on; give its data root.")
    if record.code_version != code_version():
        raise DataError(
            f"run {record.run_id}: was made by code {record.code_version}, this is {code_version()}; check out commit "
            f"{record.commit or 'unknown'} to work on its weights."
        )
    backbone, method_config = config.backbone, config.method
    assert isinstance(backbone, BackboneConfig)
    assert isinstance(method_config, MethodConfig)
    chosen = choose_device(device)
    set_arithmetic(config.training, chosen)  # before the first product: merges are repeated as they were made
    learner = backbone.build(stream, chosen)
    journal, method, random = Journal(learner.slots), method_config.build(), RandomStreams(config.seed)
    method.attach(learner, random)
    if record.tasks_done:
        Checkpoints(folder / "checkpoints", record.run_id).load(record.tasks_done, journal, method, random)
    return RestoredRun(record, config, learner, journal, folder)


@torch.no_grad()
def differing_examples(run: RestoredRun) -> tuple[int, int]:
    """Test examples whose score differs from the stored outcome of the run's last row, and how many were compared."""
    stored, row = read_outcomes(run.folder), run.record.tasks_done
    training, learner = run.config.training, run.learner
    tasks = learner.stream.judged_after(row)
    with evaluating(training, learner.device):
        found = learner.evaluate("test", tasks)
    pairs = [(stored["test", row, task], outcomes.scores) for task, outcomes in zip(tasks, found, strict=True)]
    return sum(int(np.count_nonzero(~np.isclose(*pair, atol=0.1))) for pair in pairs), sum(len(old) for old, _ in pairs)
