"""A config's parts put together: where a run's numbers begin, and with them the code that its identity covers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from suite.benchmarks.stream import Stream
from suite.data.references import find_references
from suite.lowrank.layer import require_ranks
from suite.randomness import RandomStreams
from trainables.faults import built_method, named_faults
from trainables.needs import check_placements, check_sharding
from trainables.precision import set_arithmetic
from trainables.stream_trainer import StepListener, StreamTrainer
from trainables.worker_group import ALONE, WorkerGroup

if TYPE_CHECKING:
    from suite.config import RunConfig


def assemble(
    config: RunConfig,
    stream: Stream,
    device: torch.device,
    on_step: StepListener | None = None,
    group: WorkerGroup = ALONE,
) -> StreamTrainer:
    """A trainer over a fresh network, with the process's arithmetic set as the config says; nothing is trained yet."""
    set_arithmetic(config.training, device)  # before the first product
    with named_faults(config):
        if group.shards:
            check_sharding(built_method(config.method), config.backbone)
            learner = config.backbone.build_sharded(stream, device, group.mesh(device))
        else:
            learner = config.backbone.build(stream, device)
        if config.references is not None:
            learner.use_references(find_references(Path(config.references.folder).expanduser()))
        check_placements(config.method, learner.kind)
        method = built_method(config.method)
        trainer = StreamTrainer(learner, method, config.training, RandomStreams(config.seed), on_step, group)
    for part in config.method.with_parts_inside():
        require_ranks(getattr(part, "rank", 0), trainer.method.slots)
    return trainer
