"""The sweep of ``dev perf sharing``: which of its states are one."""

from __future__ import annotations

from pathlib import Path

from suite.measuring.sharing import sharing_sweep
from suite.runs.beginnings import beginning_names


def test_orders_seeds_and_later_budgets_begin_alike_as_far_as_they_agree(tmp_path: Path) -> None:
    configs = sharing_sweep(4)
    assert len({config.config_hash() for config in configs}) == 64
    some = [config for config in configs if config.seed < 2][::2]  # 2 seeds x 4 orders x 2 rates of the last task
    streams = {str(config.benchmark): config.benchmark.open(tmp_path) for config in some}
    names = [beginning_names(config, streams[str(config.benchmark)], {}) for config in some]
    assert [len({name[row] for name in names}) for row in range(3)] == [2, 4, 16]
    elsewhere = [beginning_names(config, streams[str(config.benchmark)], {"threads": 2}) for config in some[:1]]
    assert not set(elsewhere[0]) & set(names[0])
