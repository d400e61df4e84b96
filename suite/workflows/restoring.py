"""A finished run as a network again, from its folder: for export and analysis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from suite.backbones.learner import Learner, no_choice
from suite.config import RunConfig, validate
from suite.errors import DataError
from suite.lowrank.journal import Journal
from suite.randomness import RandomStreams
from suite.runs.identity import run_code
from suite.runs.store import OpenRun
from trainables.checkpoint import Checkpoints
from trainables.device import choose_device
from trainables.method import Method
from trainables.precision import evaluating, set_arithmetic


@dataclass(frozen=True)
class RestoredRun:
    """A stored run with its config, learner (weights as after its last task), method and journal of updates."""

    stored: OpenRun
    config: RunConfig
    learner: Learner
    method: Method
    journal: Journal


def restore(stored: OpenRun, data_root: Path, device: str = "auto") -> RestoredRun:
    """Rebuild the network of a run from its backbone and its stored updates.

    Raises:
        DataError: other data or other code than the run had, or missing checkpoints.
    """
    record = stored.record
    config = validate(RunConfig, record.config, where=f"run {record.run_id}")
    stream = config.benchmark.open(data_root)
    if stream.fingerprint() != record.data_fingerprint:
        raise DataError(f"run {record.run_id}: the data under {data_root} is not what it was trained on; give its data root.")
    if record.code_version != run_code(config):
        raise DataError(
            f"run {record.run_id}: was made by code {record.code_version}, this is {run_code(config)}; check out commit "
            f"{record.commit or 'unknown'} to work on its weights."
        )
    if record.settings_hash != config.settings_hash():
        raise DataError(f"run {record.run_id}: the files that its config names are not those it was made with; put those back.")
    backbone, method_config = config.backbone, config.method
    chosen = choose_device(device)
    set_arithmetic(config.training, chosen)  # before the first product: merges are repeated as they were made
    learner = backbone.build(stream, chosen)
    journal, method, random = Journal(learner.slots), method_config.build(), RandomStreams(config.seed)
    method.attach(learner, random)
    if record.tasks_done:
        Checkpoints(stored.folder, record.run_id).load(record.results[1:], journal, method, random)
    learner.before_forward = method.before_forward if method.chooses else no_choice
    learner.answer = method.answer
    return RestoredRun(stored, config, learner, method, journal)


@torch.no_grad()
def differing_examples(run: RestoredRun) -> tuple[int, int]:
    """Test examples whose score differs from the stored outcome of the run's last row, and how many were compared."""
    row = run.stored.record.tasks_done
    stored = run.stored.outcomes(row)
    training, learner = run.config.training, run.learner
    tasks = learner.stream.judged_after(row)
    with evaluating(training, learner.device):
        found = learner.evaluate("test", tasks)
    pairs = [(stored["test", row, task], outcomes.scores) for task, outcomes in zip(tasks, found, strict=True)]
    return sum(int(np.count_nonzero(~np.isclose(*pair, atol=0.1))) for pair in pairs), sum(len(old) for old, _ in pairs)
