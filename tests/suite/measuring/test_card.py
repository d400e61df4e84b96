"""All measurements on a GPU, tried on a CPU: parts are kept, gone on with, and told when they fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.measuring.card import RESULTS, TABLE, Card, as_table, check_card

CARD = Card("cpu", "mini-clip", 4)


@pytest.mark.slow
def test_what_is_measured_stays_and_a_part_can_be_asked_for_again(tmp_path: Path) -> None:
    told: list[str] = []
    found = check_card(CARD, tmp_path, ["environment", "step fp32"], lambda name, how: told.append(name))
    assert told == ["environment", "step fp32"]
    assert found["parts"]["environment"]["facts"]["torch"]
    assert {row["name"] for row in found["parts"]["step fp32"]["rows"]} >= {"training step", "activations kept"}
    again = check_card(CARD, tmp_path, ["environment"])
    assert again["parts"]["step fp32"] == found["parts"]["step fp32"]
    assert json.loads((tmp_path / RESULTS).read_text()) == again
    assert "| step fp32 | training step |" in (tmp_path / TABLE).read_text()


def test_a_folder_of_another_card_and_an_unknown_part_are_refused(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text('{"backbone": "another", "parts": {}}')
    with pytest.raises(ConfigError, match="name another folder"):
        check_card(CARD, tmp_path)
    with pytest.raises(ConfigError, match="'steps' is not a part; use one of environment, tests"):
        check_card(CARD, tmp_path, ["steps"])


def test_a_part_that_failed_is_told_below_the_table() -> None:
    parts = {"profile": {"error": "profile: had no result after 50 s and was ended.", "seconds": 50.0}}
    found = {"backbone": "mini-clip", "batch_size": 4, "device": "cpu", "hardware": {}, "parts": parts}
    assert as_table(found).endswith("\nprofile: not measured, profile: had no result after 50 s and was ended.\n")
