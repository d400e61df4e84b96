"""What a method's config says of beginnings must be true: other runs go on from its states because of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import equal

from suite.benchmarks.stream import Stream
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.runs.record import Record
from suite.runs.store import CHECKPOINTS, RunStore
from suite.testing.watched import CPU, Watched
from trainables.assemble import assemble
from trainables.checkpoint import Checkpoints
from trainables.run import RunContext
from trainables.standing import StandingTrainer


class BeginningConformance:
    """A part of ``suite.testing.methods.MethodConformance``, which has the fixtures."""

    def test_what_it_says_of_beginnings_holds(
        self, case: Any, watched: Watched, resumed: tuple[Record, RunContext], tmp_path: Path
    ) -> None:
        """Without later tasks, and with other values in ``of_earlier_tasks``, the first task ends in the same state bit for bit."""
        method = case.config().method
        if method.knows_later_tasks and not method.of_earlier_tasks:
            pytest.skip("declared: whole streams alone begin alike")
        found = first_state_differs(case.config(), watched.stream, resumed, tmp_path)
        if found:
            text = f"knows later tasks, or a field of its of_earlier_tasks, in the first task: {', '.join(found[:5])} differ"
            pytest.fail(f"{case.owner}: {text}.", pytrace=False)


def first_state_differs(config: Any, stream: Stream, stored: tuple[Record, RunContext], folder: Path) -> list[str]:
    """Tensors of the state after the first task that are not what a stored run of ``config`` on ``stream`` has there, learned anew in ``folder``.

    Where the method knows nothing of later tasks, there are none; fields of earlier tasks have other values.
    """
    record, run_context = stored
    method = with_other_values(config.method)
    if not any(part.knows_later_tasks for part in config.method.with_parts_inside()):
        stream = replace(stream, tasks=stream.tasks[:1])
    changed = config.model_copy(update={"method": method})
    standing = StandingTrainer(lambda: assemble(changed, stream, CPU), Checkpoints(folder, record.run_id))
    if standing.trainer.never_changes:
        return []
    standing.learn(1, [])
    standing.store()
    differing = []
    for kind in ("merged_1", "state_1"):
        there = load_file(RunStore(run_context.out).folder(record.run_id) / CHECKPOINTS / f"{kind}.safetensors")
        here = load_file(folder / CHECKPOINTS / f"{kind}.safetensors")
        differing += [key for key in here.keys() | there.keys() if key not in here or key not in there]
        differing += [key for key in here.keys() & there.keys() if not equal(here[key], there[key])]
    return sorted(differing)


def with_other_values(method: MethodConfig) -> MethodConfig:
    """``method``, and those inside it, with another value in every field that says it means nothing in the first task."""
    inside = {key: with_other_values(part) for key, part in method if isinstance(part, MethodConfig)}
    return method.model_copy(update={**inside, **{key: _other(method, key) for key in method.of_earlier_tasks}})


def _other(method: MethodConfig, key: str) -> Any:
    """A value of the field that is not its own."""
    own = getattr(method, key)
    for value in _candidates(own, type(method).model_fields[key].annotation):
        try:
            found = type(method).model_validate({**method.model_dump(), key: value})
        except (ValidationError, ConfigError):
            continue
        if getattr(found, key) != own:
            return getattr(found, key)
    raise AssertionError(f"method '{method.name}': the test finds no other value for {key}; leave it out of of_earlier_tasks.")


def _candidates(own: Any, annotation: Any) -> Iterator[Any]:
    if isinstance(own, bool):
        yield not own
    elif isinstance(own, int | float):
        yield from (own + 1, own * 2, own / 2, own - 1)
    yield from (value for value in get_args(annotation) if isinstance(value, str | int | float))
