"""Ranks beside their no-signal value; paired tests on stored outcomes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from suite.config import RunConfig
from suite.errors import DataError
from suite.leaderboard.ranks import rank_frame, rank_summary, shift_frame
from suite.leaderboard.significance import Contestant, significance_frame
from suite.outcomes import read_outcomes
from suite.record import Record
from trainables.run import Surroundings, execute


@pytest.fixture
def contestant(make_config: Callable[..., RunConfig], surroundings: Surroundings) -> Callable[..., Contestant]:
    def make(*arguments: object, **fields: object) -> Contestant:
        record = execute(make_config(*arguments, **fields), surroundings)
        return Contestant(record, read_outcomes(surroundings.out / "runs" / record.run_id))

    return make


def test_ranks_by_weight_and_layer(contestant: Callable[..., Contestant]) -> None:
    record: Record = contestant("codyra", kappa_max=0.5).record
    frame = rank_frame(record)
    assert len(frame) == 3 * 30
    assert set(frame["weight"]) == {"q", "k", "v", "o", "in", "out"}
    by_weight = rank_summary(frame, "weight")
    assert by_weight["no_signal_rank"].nunique() == 1
    assert by_weight["effective_rank"].mean() == pytest.approx(frame["effective_rank"].mean())
    shift = shift_frame([record])
    expected = np.sqrt(sum(value**2 for value in record.results[1].update_norm.values()))
    assert shift["update"][0] == shift["cumulative"][0] == pytest.approx(expected)


def test_a_run_without_ranks_is_refused(contestant: Callable[..., Contestant]) -> None:
    with pytest.raises(DataError, match="'zero-shot' has no ranks"):
        rank_frame(contestant("zero-shot").record)


def test_pairs_are_compared_and_corrected(contestant: Callable[..., Contestant]) -> None:
    runs = [contestant("zero-shot"), contestant("lora"), contestant("lora", training={"steps": 60, "lr": 1e-2})]
    frame = significance_frame(runs)
    assert len(frame) == 3
    assert (frame["p holm"] >= frame["p"]).all()
    first = frame.iloc[0]
    means = [np.mean([runs[k].outcomes[("test", 3, t)].mean() for t in range(3)]) for k in (0, 1)]
    assert first["difference"] == pytest.approx(means[0] - means[1], abs=1e-3)
    assert first["low"] <= first["difference"] <= first["high"]
    assert set(frame["test"]) == {"McNemar"}


def test_a_run_does_not_differ_from_itself(contestant: Callable[..., Contestant]) -> None:
    one = contestant("lora")
    (row,) = significance_frame([one, one]).to_dict("records")
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0.0, 0.0, 0.0, 1.0)


def test_other_examples_are_refused(contestant: Callable[..., Contestant]) -> None:
    one = contestant("lora")
    other = Contestant(one.record.model_copy(update={"item_digests": {"test": ["x"]}}), one.outcomes)
    with pytest.raises(DataError, match="not judged on the same examples"):
        significance_frame([one, other])
    with pytest.raises(DataError, match="at least two"):
        significance_frame([one])
