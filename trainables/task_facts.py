"""What a record says of a task beside its numbers: costs, and facts and notes of learner, data, method and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.benchmarks.stream import Task, learned_tests
from suite.cost_meter import CostMeter, peak_bytes
from suite.runs.record import TaskCosts
from trainables.method import MethodFacts


def costs(meter: CostMeter, trainable: int, carried: int) -> TaskCosts:
    """What ``meter`` has measured up to now, beside the numbers that the task may change and the bytes kept for later tasks."""
    return TaskCosts(
        steps=meter.steps,
        wall_seconds=meter.wall_seconds(),
        train_seconds=meter.train_seconds,
        evaluate_seconds=meter.evaluate_seconds,
        device_seconds=meter.device_seconds(),
        peak_bytes=peak_bytes(),
        device_peak_bytes=meter.device_peak_bytes(),
        wait_seconds=meter.wait_seconds if meter.steps else None,
        trainable_parameters=trainable,
        carried_bytes=carried,
    )


def copied_tests(task: Task) -> dict[str, Any]:
    """How many test examples the task also learns from, where there are any."""
    copies = learned_tests(task)
    if not copies:
        return {}
    note = f"{task.name}: {len(copies)} of {len(task.test)} test examples are exact copies of training or validation examples, first '{copies[0]}'"
    return {"test_copies": len(copies), "notes": [note]}


def together(
    of_learner: Mapping[str, Any], of_data: Mapping[str, Any], of_method: MethodFacts, of_steps: Mapping[str, Any]
) -> dict[str, Any]:
    """Facts of a task; all notes in one list."""
    notes = [*of_learner.get("notes", []), *of_data.get("notes", []), *of_method.notes]
    return {**of_learner, **of_data, **of_method.chosen, **of_steps, **({"notes": notes} if notes else {})}
