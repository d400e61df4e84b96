"""What a run would be refused for, found without its weights and before any other run has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.backbones.lm_config import no_references
from suite.benchmarks.stream import Stream
from suite.config import RunConfig, validate
from suite.data.references import find_references
from suite.errors import ConfigError, SuiteError
from trainables.budget import step_count
from trainables.faults import built_method, named_faults
from trainables.needs import UnfitMethod, check_needs, check_placements, check_sharding


@dataclass(frozen=True)
class Refusal:
    """Why the run at ``position`` of those asked about cannot begin.

    Attributes:
        is_unfit: its method needs what the benchmark does not have.
    """

    position: int
    reason: str
    is_unfit: bool


def refusals(runs: Sequence[Mapping[str, Any]], data_root: Path, *, shard_frozen: bool = False) -> list[Refusal]:
    """The runs among ``runs`` (fields of their configs) that cannot begin on this machine, each with one sentence.

    Data is read, no weights: label spaces, budgets, needs of methods, and names and files of backbones are checked. Runs of one
    benchmark stand together, so that one stream at a time is held.

    Args:
        shard_frozen: as in ``Resources``.
    """
    found: list[Refusal] = []
    said: dict[str, Exception | None] = {}
    last: tuple[object, Stream | SuiteError] | None = None
    for position, fields in enumerate(runs):
        config = validate(RunConfig, dict(fields), where="run")
        if last is None or last[0] != config.benchmark:
            last = config.benchmark, _stream(config, data_root)
            said.clear()
        key = repr((config.backbone, config.method, config.training, config.references))  # seeds are checked once
        if key not in said:
            said[key] = _refused(config, last[1], shard_frozen=shard_frozen)
        if (error := said[key]) is not None:
            found.append(Refusal(position, str(error), isinstance(error, UnfitMethod)))
    return found


def _stream(config: RunConfig, data_root: Path) -> Stream | SuiteError:
    try:
        with named_faults(config):
            return config.benchmark.open(data_root)
    except SuiteError as error:
        return error


def _refused(config: RunConfig, stream: Stream | SuiteError, *, shard_frozen: bool) -> SuiteError | None:
    if isinstance(stream, SuiteError):
        return stream
    if config.training.precision == "auto":  # each machine would have its own, and nobody could name the runs before
        return ConfigError(
            "training.precision: 'auto' is for a run alone; runs that are compared need the same everywhere: bf16, tf32 or fp32."
        )
    try:
        with named_faults(config):
            method = built_method(config.method)
        if shard_frozen:
            check_sharding(method, config.backbone)
        if config.references is not None:
            find_references(Path(config.references.folder).expanduser())
            if config.backbone.kind == "lm":
                raise no_references(config.backbone.name)
        if config.backbone.kind is not None:
            has_references = config.references is not None
            check_needs(method, config.backbone.kind, config.training, stream.task_names, references=has_references)
            check_placements(config.method, config.backbone.kind)
        with named_faults(config):
            config.backbone.check(stream)
            method.check_budget(stream.task_names, [step_count(config.training, task) for task in stream.tasks])
    except SuiteError as error:
        return error
    return None
