"""What a record says of a task beside its numbers: facts and notes of learner, data, method and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.benchmarks.stream import Task, learned_tests
from trainables.method import MethodFacts


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
