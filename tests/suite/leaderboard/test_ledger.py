"""Published numbers are percent, whatever unit their source printed."""

from __future__ import annotations

import pytest

from suite.leaderboard.ledger import LEDGERS, published_frame


@pytest.mark.parametrize("benchmark", sorted(LEDGERS))
def test_published_scores_are_percent(benchmark: str) -> None:
    frame = published_frame([benchmark])
    metrics = [name for name in frame if str(name).count(".") == 1]
    assert len(frame) > 0
    assert metrics
    values = frame[metrics].to_numpy(dtype=float)
    finite = values[values == values]
    assert finite.size > 0
    assert (abs(finite) <= 100).all()
    assert frame["method"].str.endswith("(published)").all()
