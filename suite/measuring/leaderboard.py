"""What ``dev perf leaderboard`` does: tables, conventions and the page over many made-up runs in a real MLflow database."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from suite.files import sqlite_uri
from suite.leaderboard.export import FORMS, write_frame
from suite.leaderboard.ranking import board
from suite.leaderboard.report import report_html
from suite.leaderboard.runs import RunSet, load_runs
from suite.leaderboard.table import leaderboard_frame
from suite.randomness import numpy_generator
from suite.runs.outcomes import write_outcomes
from suite.runs.record import SCHEMA_VERSION, Cells, Record, TaskCosts, TaskResult
from suite.runs.store import RunStore

TASKS, EXAMPLES, LARGE_EXAMPLES = 11, 60, 100_000
METHODS = ("codyra", "lora", "olora", "replay", "zero-shot")
PAGE_RUNS = 100
MIB = 2**20


def measure_board(runs: int) -> list[tuple[str, float, str]]:
    """(what, value, unit) of every figure; logging the runs is not part of any."""
    from suite.tracking.delivery import open_delivery

    with tempfile.TemporaryDirectory(prefix="codyra-board-") as scratch:
        folder = Path(scratch)
        uri = sqlite_uri(folder / "mlflow.db")
        with open_delivery(uri, folder) as delivery:
            for number in range(runs):
                delivery.log_run(made_up(RunStore(folder), number))
        found: list[RunSet] = []
        figures = [(f"read {runs} runs from MLflow", _seconds(lambda: found.append(load_runs(uri, {}, folder))), "s")]
        every = found[0]

        def tables() -> None:
            frame = board(every)
            for form in FORMS:
                write_frame(frame, form, folder / f"board.{form}")

        figures.append((f"the table of {runs} runs with standings, in {len(FORMS)} formats", _seconds(tables), "s"))
        figures.append(
            (f"recompute {runs} runs under another convention", _seconds(lambda: leaderboard_frame(every.records, "gem")), "s")
        )
        pages: list[str] = []
        hundred = RunSet(every.records[:PAGE_RUNS], every.loaders)
        figures.append(
            (f"make the page of {PAGE_RUNS} runs", _seconds(lambda: pages.append(report_html(hundred, {}, made=""))), "s")
        )
        figures.append((f"size of the page of {PAGE_RUNS} runs", len(pages[0].encode()) / MIB, "MiB"))
        figures.append(
            (f"outcomes of an {TASKS} x {TASKS} stream with {LARGE_EXAMPLES:,} examples", _outcome_mib(folder / "large"), "MiB")
        )
    return figures


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def made_up(store: RunStore, number: int) -> Record:
    """A valid finished record with drawn numbers; five seeds share a configuration."""
    draws = numpy_generator("perf leaderboard", number)
    cells: Cells = np.round(draws.uniform(20, 90, (TASKS + 1, TASKS)), 2).tolist()
    scores = {("test", TASKS, task): (draws.random(EXAMPLES) < 0.6).astype(np.float32) * 100 for task in range(TASKS)}
    last = [float(scores["test", TASKS, task].mean()) for task in range(TASKS)]
    tasks = [f"task{index}" for index in range(TASKS)]
    method, settings = METHODS[number % len(METHODS)], f"{number // 5:08d}"
    training = {"steps": 500, "epochs": None, "batch_size": 64, "lr": 5e-4}
    results = [_result(row, tasks[row - 1] if row else None) for row in range(TASKS + 1)]
    digests = [f"digest-{index}" for index in range(TASKS)]
    record = Record(
        schema_version=SCHEMA_VERSION, run_id=f"{number:016x}", config={
            "benchmark": {"name": f"bench{number // 125}"}, "method": {"name": method, "rank": 16}, "backbone": {"name": "made-up"},
            "training": training, "seed": number % 5,
        }, config_hash=f"{number:016x}", settings_hash=settings, data_fingerprint="0" * 16, code_version="0" * 16, commit=None,
        dirty=None, versions={}, hardware={}, benchmark=f"bench{number // 125}", setting={"order": "I"}, protocol="task", scoring=None,
        metrics=["zscl.transfer", "zscl.average", "zscl.last", "gem.bwt"], tasks=tasks,
        item_digests={"validation": digests, "test": digests}, validation=cells, test=[*cells[:-1], last], results=results, status="finished",
        started_at=datetime.now(UTC), ended_at=datetime.now(UTC),
    )  # fmt: skip
    return store.note_all(record, scores, {})


def _result(row: int, task: str | None) -> TaskResult:
    costs = TaskCosts(
        steps=500, wall_seconds=60.0, train_seconds=50.0, evaluate_seconds=10.0, device_seconds=None, peak_bytes=2**30,
        device_peak_bytes=None, trainable_parameters=4_425_984, carried_bytes=0,
    )  # fmt: skip
    slots = [
        f"{encoder}.{layer}.{weight}"
        for encoder in ("vision", "text")
        for layer in range(12)
        for weight in ("q", "k", "v", "o", "in", "out")
    ]
    ranks = dict.fromkeys(slots, 8) if row else {}
    sizes = dict.fromkeys(slots, 0.5) if row else {}
    return TaskResult(
        row=row, task=task, costs=costs, effective_rank=ranks, no_signal_rank=8.2, update_norm=sizes, cumulative_norm=sizes
    )


def _outcome_mib(folder: Path) -> float:
    """What the outcomes of a large stream take on disk: correct with the probability that a trained model has."""
    draws = numpy_generator("perf leaderboard", "outcomes")
    size = LARGE_EXAMPLES // TASKS
    right = {
        ("test", row, task): (draws.random(size) < (0.85 if task < row else 0.65)).astype(np.float32) * 100
        for row in range(TASKS + 1)
        for task in range(TASKS)
    }
    return write_outcomes(right, folder).stat().st_size / MIB
