"""Orthogonal LoRA: penalty, its form, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "olora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.penalty": choice("abs", "square"),
        "method.lambda1": LogUniform(1e-4, 10.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
