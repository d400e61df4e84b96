"""Three random kills of a real sweep on a real cluster of two nodes harm nothing."""

from __future__ import annotations

import pytest

from suite.measuring.faults import inject_faults


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_leave_no_duplicate_orphan_loss_or_difference() -> None:
    lines: list[str] = []
    harm = inject_faults(3, seed=0, say=lines.append)
    assert harm.kills.total() == 3
    assert harm.none, lines
