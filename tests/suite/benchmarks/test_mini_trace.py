from pathlib import Path

import pytest

from suite.benchmarks.mini_trace import COUNTS, MiniTraceConfig
from suite.benchmarks.trace import ORDERS, RECIPES
from suite.data.prompt_files import prompt_keys
from suite.errors import ConfigError


def test_one_drawn_task_per_trace_task_with_its_metric() -> None:
    stream = MiniTraceConfig().build(Path())
    assert stream.task_names == ORDERS[1]
    assert MiniTraceConfig(order=2).build(Path()).task_names == ORDERS[2]
    for task in stream.tasks:
        assert task.metric == RECIPES[task.name].metric  # type: ignore[union-attr]
        assert [len(getattr(task, split)) for split in COUNTS] == list(COUNTS.values())


def test_splits_share_no_prompt() -> None:
    for task in MiniTraceConfig().build(Path()).tasks:
        keys = [set(prompt_keys(getattr(task, split))) for split in COUNTS]
        assert sum(map(len, keys)) == len(set.union(*keys)) == sum(COUNTS.values())


def test_data_depend_on_the_draw_seed_alone() -> None:
    """The pinned value shows a change of the drawing code, which needs new shipped weights and changes every result."""
    assert MiniTraceConfig().build(Path()).fingerprint().startswith("fc27f7dd9a253c04")
    assert MiniTraceConfig().build(Path()).fingerprint() == MiniTraceConfig().build(Path("elsewhere")).fingerprint()
    assert MiniTraceConfig(draw_seed=1).build(Path()).fingerprint() != MiniTraceConfig().build(Path()).fingerprint()


def test_tasks_by_name() -> None:
    stream = MiniTraceConfig(tasks=("FOMC",)).build(Path())
    assert (stream.task_names, stream.metrics) == (("FOMC",), ("trace.op",))
    with pytest.raises(ConfigError, match=r"benchmark\.tasks: 'FOMK' is not a task of mini-trace; .*nearest: 'FOMC'"):
        MiniTraceConfig(tasks=("FOMK",)).build(Path())
