"""Valid records with made-up numbers and outcomes: inputs of tables, tests and pictures, not results."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from suite.leaderboard.runs import RunSet
from suite.runs.outcomes import Key, Scores
from suite.runs.record import Cells, Record, TaskCosts, TaskResult

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
ROWS: Cells = [[50.0, 50.0, 50.0], [80.0, 60.0, 40.0], [84.0, 90.0, 50.0], [70.0, 85.0, 95.0]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(BROWSERS)}); install the package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


def result(row: int, task: str | None, slots: Sequence[str]) -> TaskResult:
    costs = TaskCosts(
        steps=8,
        wall_seconds=2.0,
        train_seconds=1.0,
        evaluate_seconds=1.0,
        device_seconds=None,
        peak_bytes=2**30,
        device_peak_bytes=None,
        trainable_parameters=100 * (row > 0),
        carried_bytes=0,
    )
    ranks = {name: 6 + 2 * (index % 2) for index, name in enumerate(slots)} if row else {}
    sizes = dict.fromkeys(ranks, 0.5)
    return TaskResult(
        row=row,
        task=task,
        costs=costs,
        effective_rank=ranks,
        offered_rank=16 if row else None,
        no_signal_rank=8.2 if row else None,
        update_norm=sizes,
        cumulative_norm={name: size * row for name, size in sizes.items()},
    )


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """``make_record("codyra", seed=1, rows=...)``; three tasks t1, t2, t3 unless told otherwise; any field may be given."""

    def make(
        method: str = "codyra",
        seed: int = 0,
        rows: Cells = ROWS,
        *,
        slots: Sequence[str] = ("vision.0.q", "vision.0.k"),
        hyperparameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Record:
        tasks = list(fields.get("tasks", ["t1", "t2", "t3"]))
        config = {
            "benchmark": {"name": "b", "order": "I"},
            "method": {"name": method, **(hyperparameters or {})},
            "backbone": {"name": "mini-clip"},
            "training": {"steps": 8, "epochs": None, "batch_size": 4, "lr": 1e-3},
            "seed": seed,
        }
        base: dict[str, Any] = {
            "run_id": f"{re.sub(r'[^A-Za-z0-9.-]+', '', method)}-{seed}",  # a run's id is the name of its folder
            "config": config,
            "config_hash": f"c{method}{seed}",
            "settings_hash": f"s{method}",
            "data_fingerprint": "f" * 64,
            "code_version": "v",
            "commit": "abc",
            "dirty": False,
            "versions": {"torch": "2"},
            "hardware": {"processor": "p"},
            "benchmark": "b",
            "setting": {"order": "I"},
            "protocol": "task",
            "scoring": None,
            "metrics": ["zscl.last", "gem.bwt"],
            "tasks": tasks,
            "item_digests": {"validation": [f"v{task}" for task in tasks], "test": [f"d{task}" for task in tasks]},
            "validation": rows,
            "test": rows,
            "results": [result(row, tasks[row - 1] if row else None, slots if row else ()) for row in range(len(rows))],
            "status": "finished",
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        return Record.model_validate({**base, **fields})

    return make


@pytest.fixture
def make_runs(make_record: Callable[..., Record]) -> Callable[..., RunSet]:
    """``make_runs({"codyra": 0.8, "lora": 0.5}, seeds=2)``: outcomes of 200 examples per task, right with that probability.

    Examples have their own difficulty, shared by all runs, as real ones do; matrices agree with the outcomes.
    """

    def make(chances: Mapping[str, float], *, seeds: int = 1, examples: int = 200, tasks: int = 3, **fields: Any) -> RunSet:
        difficulty = np.random.default_rng(5).normal(0.0, 0.15, (tasks, examples))
        records, loaders = [], {}
        for number, (method, chance) in enumerate(chances.items()):
            for seed in range(seeds):
                draws = np.random.default_rng([number, seed])
                outcomes: dict[Key, Scores] = {
                    ("test", row, task): np.where(
                        draws.random(examples) < np.clip(chance + difficulty[task], 0, 1), 100, 0
                    ).astype(np.float32)
                    for row in range(tasks + 1)
                    for task in range(tasks)
                }
                cells = [[float(outcomes[("test", row, task)].mean()) for task in range(tasks)] for row in range(tasks + 1)]
                names = [f"t{task + 1}" for task in range(tasks)]
                record = make_record(method, seed, cells, **{"tasks": names, **fields})
                records.append(record)
                loaders[record.run_id] = _loader(outcomes)
        return RunSet(records, loaders)

    return make


def _loader(outcomes: Mapping[Key, Scores]) -> Callable[[int | None], Mapping[Key, Scores]]:
    return lambda row: {key: scores for key, scores in outcomes.items() if row is None or key[1] == row}
