"""What a command would do is said before it does it, and nothing is done."""

from __future__ import annotations

from pathlib import Path

import pytest

import suite
from suite.errors import ConfigError
from suite.runs.store import RunStore
from suite.workflows.configs import run_config

SETTINGS = {"benchmark.domains": ["shapes", "digits"], "benchmark.shots": 2, "training.steps": 2, "training.batch_size": 4}


def test_what_is_stored_is_told_from_what_is_trained_and_times_come_from_earlier_runs(some_runs: Path) -> None:
    before = sorted(path for path in some_runs.rglob("*"))
    found = suite.plan_compare(["mini-mtil"], ["lora", "finetune"], [1, 2], SETTINGS, out=some_runs, concurrency=1)
    told = {(run.config.method.name, run.config.seed): run for run in found.runs}
    assert {key: run.state for key, run in told.items()} == {
        ("lora", 1): "finished",
        ("lora", 2): "new",
        ("finetune", 1): "new",
        ("finetune", 2): "new",
    }
    record = next(run.record for run in RunStore(some_runs).all().runs if run.record.method == "lora")
    assert told["lora", 1].run_id == record.run_id
    seconds = sum(result.costs.wall_seconds for result in record.results)
    assert (told["lora", 2].seconds, told["lora", 2].source) == (pytest.approx(seconds), "mean of 1 run with these settings")
    assert told["finetune", 1].seconds is None and "no finished run of finetune" in told["finetune", 1].source
    assert found.seconds is None and len(found.trained) == 3
    assert sorted(path for path in some_runs.rglob("*")) == before


def test_more_steps_take_longer_and_a_mistake_is_refused(some_runs: Path) -> None:
    more = SETTINGS | {"training.steps": 200}
    (short,), (long,) = (
        suite.plan_run("mini-mtil", method="lora", seed=2, settings=settings, out=some_runs).runs
        for settings in (SETTINGS, more)
    )
    assert short.seconds and long.seconds and long.seconds > short.seconds
    assert long.source == "scaled by tasks, steps and batches from 1 run with other settings"
    with pytest.raises(ConfigError, match="leave no room for 50 threshold levels"):
        suite.plan_run("mini-mtil", method="codyra", settings=SETTINGS | {"method.kappa_levels": 50}, out=some_runs)


@pytest.mark.parametrize(
    ("pair", "hint"),
    [
        ("rank=8", r"'rank' is no part of a run; write method.rank=8\."),
        ("steps=3", r"write training.steps=3\."),
        ("shots=3", r"write benchmark.shots=3\."),
        ("metod.rank=3", r"'metod' is no part of a run; write method.rank=3\."),
    ],
)
def test_a_short_key_is_answered_with_the_full_one(pair: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"^--set {pair}: .*{hint}$"):
        run_config("mini-mtil", method="lora", settings=[pair])
