"""The numbers of a record that trackers show as metrics, with tasks learned as the step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from suite.metrics.conventions import compute_if_defined
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.costs import run_costs
from suite.runs.record import Record
from suite.tracking.keys import metric_key


def points(record: Record, first_row: int = 0) -> Iterator[tuple[int, str, float]]:
    """(step, metric, value) of the rows from ``first_row`` on, and at the last step the summary of a finished run; finite ones only."""
    steps = [(row, row_metrics(record, row)) for row in range(first_row, len(record.test))]
    for step, found in (*steps, (record.tasks_done, summary_metrics(record))):
        yield from ((step, key, value) for key, value in found.items() if math.isfinite(value))


def row_metrics(record: Record, row: int) -> dict[str, float]:
    """Metrics of one row, step = tasks learned: accuracies per task and split, ranks, sizes of updates, costs."""
    metrics: dict[str, float] = {}
    for split, cells in (("test", record.test), ("validation", record.validation)):
        for task, value in zip(record.tasks, cells[row], strict=True):
            if value is not None:
                metrics[metric_key(split, task)] = value
    result = record.results[row]
    costs = run_costs([result])
    if costs.effective_rank is not None:
        metrics["rank/effective_mean"] = costs.effective_rank
    if result.no_signal_rank is not None:
        metrics["rank/no_signal"] = result.no_signal_rank
    if result.update_norm:
        metrics["update/norm"] = math.sqrt(sum(value**2 for value in result.update_norm.values()))
        metrics["update/cumulative_norm"] = math.sqrt(sum(value**2 for value in result.cumulative_norm.values()))
    if result.train_loss is not None:
        metrics["train/loss"] = result.train_loss
    metrics["cost/wall_seconds"] = costs.wall_seconds
    metrics["cost/peak_bytes"] = float(costs.peak_bytes)
    return metrics


def summary_metrics(record: Record) -> dict[str, float]:
    """The stream's metrics on test and validation of a finished run."""
    if record.status != "finished":
        return {}
    summary = {}
    for split, cells in (("test", record.test), ("validation", record.validation)):
        matrix = AccuracyMatrix.from_lists(cells, tuple(record.tasks))
        for name in record.metrics:
            value = compute_if_defined(name, matrix)
            if not math.isnan(value):  # the leaderboard says which ones the stream leaves undefined
                summary[f"{split}.{name}"] = value
    return summary
