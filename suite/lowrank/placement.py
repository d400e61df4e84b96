"""Placement: which weights (q, k, v, o, in, out), of which encoder, in which layers get a low-rank part.

Written ``[encoder:]weights[@first-last]``: ``qkvo``, ``vision:qkvoinout``, ``text:inout@0-5``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_serializer, model_validator

from suite.errors import nearest
from suite.settings import Settings

WEIGHTS = ("q", "k", "v", "o", "in", "out")
ENCODERS = ("all", "vision", "text")
KNOWN = ("q", "k", "v", "o", "kv", "qv", "qkv", "qkvo", "in", "out", "inout", "kvinout", "qkvinout", "qkvoinout")
_FORM = re.compile(r"(?:(?P<encoder>[a-z]+):)?(?P<weights>[a-z ]+)(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?")
_WORDS = re.compile(r"out|in|[qkvo]")


class Placement(Settings):
    """Where low-rank parts sit. Serialised as its canonical text, so that it reads well in tables and hashes stably."""

    weights: tuple[str, ...]
    encoder: Literal["all", "vision", "text"] = "all"
    layers: tuple[int, int] | None = None  # first and last, both included, from 0

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping | Placement):
            raise ValueError("is not a placement; write it as text, such as qkvo or vision:inout@0-5")
        return parse(value) if isinstance(value, str) else value

    @field_validator("weights")
    @classmethod
    def _in_order(cls, weights: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [word for word in weights if word not in WEIGHTS]
        if unknown or not weights:
            what = f"'{unknown[0]}' is not a weight" if unknown else "names no weight"
            raise ValueError(f"{what}; use some of {', '.join(WEIGHTS)}")
        return tuple(word for word in WEIGHTS if word in weights)

    @model_serializer
    def _to_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        encoder = "" if self.encoder == "all" else f"{self.encoder}:"
        layers = "" if self.layers is None else f"@{self.layers[0]}-{self.layers[1]}"
        return f"{encoder}{''.join(self.weights)}{layers}"

    def is_of(self, kind: str | None) -> bool:
        """Whether backbones of ``kind`` have the encoder that is named; only a CLIP has any. None: not known before it is built."""
        return self.encoder == "all" or kind in (None, "clip")

    def takes(self, encoder: str, layer: int, weight: str) -> bool:
        """True if the weight ``weight`` of layer ``layer`` of ``encoder`` gets a low-rank part."""
        in_range = self.layers is None or self.layers[0] <= layer <= self.layers[1]
        return weight in self.weights and in_range and self.encoder in ("all", encoder)


def parse(text: str) -> dict[str, Any]:
    """Fields of the placement that ``text`` names.

    Raises:
        ValueError: naming what is wrong, what is allowed and the nearest known placement.
    """
    form = _FORM.fullmatch(text.strip())
    words = _words(form["weights"]) if form else None
    if form is None or words is None:
        near = nearest(text, KNOWN)
        hint = f" (nearest: '{near}')" if near else ""
        raise ValueError(
            f"'{text}' is not a placement; use letters and names from {', '.join(WEIGHTS)}, optionally as "
            f"'vision:qkvo' or 'qkvo@0-5'{hint}"
        )
    encoder = form["encoder"] or "all"
    if encoder not in ENCODERS:
        raise ValueError(f"'{encoder}' is not an encoder; use one of {', '.join(ENCODERS)} in placement '{text}'")
    fields: dict[str, Any] = {"weights": tuple(words), "encoder": encoder}
    if form["first"] is not None:
        first, last = int(form["first"]), int(form["last"] or form["first"])
        if first > last:
            raise ValueError(f"placement '{text}' has layers {first}-{last}; the first must not exceed the last")
        fields["layers"] = (first, last)
    return fields


def _words(text: str) -> list[str] | None:
    joined = text.replace(" ", "")
    words = _WORDS.findall(joined)
    complete = "".join(words) == joined and len(set(words)) == len(words)
    return words if words and complete else None
