"""What a record says of a task beside its numbers: costs, and facts and notes of learner, data, method and steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from suite.benchmarks.stream import ImageTask, Task, learned_tests
from suite.cost_meter import CostMeter, peak_bytes
from suite.counting import counted
from suite.runs.record import TaskCosts
from trainables.method import MethodFacts

SHOWN = 3  # names in one note


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


def data_facts(task: Task) -> dict[str, Any]:
    """What a reader of a task's numbers has to know of its data: what was left out of it, and which test examples say nothing."""
    copies = learned_tests(task)
    notes = [*task.notes, *_untested(task)]
    if copies:
        notes.append(
            f"{len(copies)} of {counted(len(task.test), 'test example')} also in training or validation under another name, byte for "
            f"byte, first '{copies[0]}'"
        )
    facts = {"test_copies": len(copies)} if copies else {}
    return {**facts, "notes": [f"{task.name}: {note}" for note in notes]} if notes else facts


def _untested(task: Task) -> Iterator[str]:
    """Classes that no test score speaks of, and a test that one constant answer passes."""
    if isinstance(task, ImageTask):
        for split in ("train", "test"):
            counts = np.bincount(getattr(task, split).labels, minlength=len(task.class_names))
            absent = [f"'{name}'" for name, count in zip(task.class_names, counts, strict=True) if not count]
            if absent:
                yield f"{len(absent)} of {counted(len(counts), 'class')} without a {split} image: {_first(absent)}"
    elif len(task.test) > 1 and len(set(task.test.answers)) == 1:
        yield f"all {len(task.test)} test answers are '{task.test.answers[0]}', so always saying it is always right"


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def together(
    of_learner: Mapping[str, Any], of_data: Mapping[str, Any], of_method: MethodFacts, of_steps: Mapping[str, Any]
) -> dict[str, Any]:
    """Facts of a task; all notes in one list."""
    notes = [*of_learner.get("notes", []), *of_data.get("notes", []), *of_method.notes]
    return {**of_learner, **of_data, **of_method.chosen, **of_steps, **({"notes": notes} if notes else {})}
