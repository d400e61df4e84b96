"""Reasons are said once, with the runs that they hold for, and no longer than can be read."""

from __future__ import annotations

from suite.workflows.reasons import told_once

MISSING = "all: {} tasks cannot be read ({}): {}."


def missing(*names: str) -> str:
    """As a benchmark says it, in the order of its tasks."""
    clauses = [
        f"/data: data set '{name}' is missing, which is a long story; run 'codyra-suite data pull {name}'" for name in names
    ]
    return MISSING.format(len(names), ", ".join(names), "; ".join(clauses))


def test_another_order_of_tasks_is_no_other_reason() -> None:
    told = told_once([("a lora", missing("one", "two")), ("a ewc", missing("two", "one")), ("a lora", missing("one", "two"))])
    assert told == [f"a lora, a ewc: {missing('one', 'two')}"]
    assert len(told_once([("a", missing("one")), ("a", missing("two"))])) == 2


def test_many_runs_and_many_clauses_are_cut_where_the_first_one_says_what_to_do() -> None:
    names = [f"set{number}" for number in range(20)]
    (told,) = told_once([(f"run{number}", missing(*names)) for number in range(30)])
    assert told.startswith("run0, run1, run2, run3, run4, run5 and 24 more: all: 20 tasks cannot be read (set0, ")
    assert "set19" in told and told.endswith("run 'codyra-suite data pull set1'; and so on for the others.")
    assert len(told) < 600
