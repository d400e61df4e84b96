"""A run that needs more memory than its share is run once more with twice the share, on a real Ray with a real bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from suite.config import RunConfig
from suite.tuning.cluster import ray_session
from suite.tuning.ray_runner import run_all
from suite.tuning.run_queue import ListQueue, Suggestion
from suite.tuning.run_settings import RunSettings
from trainables.resources import Resources


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(None, Resources()):
        yield


def carried(config: RunConfig, gib: float, out: Path) -> tuple[ListQueue, list[tuple[int, float | None]], list[str]]:
    source, retried, ends = ListQueue([config]), [], []

    def on_retry(runs: list[Suggestion], larger: Resources) -> None:
        retried.append((len(runs), larger.memory_gib))

    run_settings = RunSettings(out, out, "cpu", resources=Resources(memory_gib=gib), on_retry=on_retry)
    run_settings.on_end = lambda run, view, reason: ends.append(reason or (view.status if view else "nothing"))
    run_all(source, run_settings)
    return source, retried, ends


@pytest.mark.slow
def test_twice_the_share_is_tried_once(ray: None, make_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """A batch of 64 takes between 0.2 and 0.4 GiB here."""
    config = make_config("lora", training={"steps": 4, "batch_size": 64})
    source, retried, ends = carried(config, 0.1, tmp_path / "small")
    assert retried == [(1, 0.2)]
    assert len(ends) == 1
    assert "out of memory" in source.failures[0]
    source, retried, ends = carried(config, 0.2, tmp_path / "enough")
    assert retried == [(1, 0.4)]
    assert ends == ["finished"]
    assert not source.failures


def test_a_bound_that_ends_the_worker_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="memory_gib"):
        Resources(memory_gib=0.002)


def test_shares_grow_up_to_a_whole_card() -> None:
    assert Resources(gpus=0.25).larger() == Resources(gpus=0.5)
    assert Resources(gpus=0.75, memory_gib=8).larger() == Resources(gpus=1.0, memory_gib=16)
    assert Resources(gpus=1.0).larger() is None
    assert Resources(gpus=2.0).larger() is None
    assert Resources().larger() is None
