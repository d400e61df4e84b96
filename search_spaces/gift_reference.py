"""GIFT on reference pairs: distillation, matching, anchor, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space

SPACE = Space(
    "gift-reference",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.weight": LogUniform(0.01, 10.0),
        "method.matching": LogUniform(0.01, 2.0),
        "method.anchor": LogUniform(1e-3, 10.0),
        "method.temperature": LogUniform(1.0, 8.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
