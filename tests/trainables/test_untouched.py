"""Row 0 against published zero-shot values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from suite.config import RunConfig
from suite.errors import DataError
from trainables.run import Surroundings, execute


@pytest.mark.parametrize(("shift", "accepted", "refused"), [(0.0, False, False), (9.0, False, True), (9.0, True, False)])
def test_drifted_zero_shot_is_refused_before_training(
    shift: float,
    accepted: bool,
    refused: bool,
    make_config: Callable[..., RunConfig],
    surroundings: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config("lora")
    measured = execute(make_config("zero-shot"), surroundings).test[0]
    published = {"shapes": (measured[0] or 0.0) + shift, "mean": sum(v or 0.0 for v in measured) / 3}
    monkeypatch.setattr(type(config.benchmark), "untouched", published)
    here = Surroundings(surroundings.out, surroundings.data_root, "cpu", accept_zero_shot=accepted)
    if refused:
        with pytest.raises(DataError, match="shapes .* instead of .*--accept-zero-shot"):
            execute(config, here)
    else:
        assert execute(config, here).status == "finished"
