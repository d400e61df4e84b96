"""Reading and writing placements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from suite.config import validate
from suite.errors import ConfigError
from suite.lowrank.placement import WEIGHTS, Placement


class Holder(BaseModel):
    placement: Placement


@given(
    st.sets(st.sampled_from(WEIGHTS), min_size=1),
    st.sampled_from(["all", "vision", "text"]),
    st.none() | st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair))),
)
def test_text_and_back(weights: set[str], encoder: str, layers: tuple[int, int] | None) -> None:
    ordered = tuple(word for word in WEIGHTS if word in weights)
    placement = Placement(weights=ordered, encoder=encoder, layers=layers)  # type: ignore[arg-type]
    assert Placement.model_validate(str(placement)) == placement


@pytest.mark.parametrize(
    ("text", "encoder", "layer", "weight", "taken"),
    [
        ("qkvoinout", "vision", 3, "out", True),
        ("vision:qv", "text", 0, "q", False),
        ("text:inout@2-4", "text", 2, "in", True),
        ("text:inout@2-4", "text", 5, "in", False),
        ("o", "vision", 0, "out", False),
        ("out", "vision", 0, "o", False),
    ],
)
def test_takes(text: str, encoder: str, layer: int, weight: str, taken: bool) -> None:
    assert Placement.model_validate(text).takes(encoder, layer, weight) is taken


@pytest.mark.parametrize("text", ["qkw", "", "qq", "audio:q", "q@5-2", "q@x", "vision:"])
def test_bad_text_names_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(Holder, {"placement": text}, where="here")
    assert "\n" not in str(error.value)
    assert "here: placement:" in str(error.value)


def test_nearest_placement_is_offered() -> None:
    with pytest.raises(ConfigError, match="nearest: 'qkv'"):
        validate(Holder, {"placement": "qkw"}, where="here")
