"""TreeLoRA: strength of the pull and its variant, rank, placement, learning rate."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "treelora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.pull": LogUniform(0.01, 5.0),
        "method.variant": choice("mean", "release"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
