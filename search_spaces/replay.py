"""Replay: size and use of the memory, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "replay",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.memory_size": IntUniform(50, 2000, log=True),
        "method.memory_share": choice(0.25, 0.5, 1.0),
        "method.weight": LogUniform(0.1, 4.0),
        "method.selection": choice("reservoir", "balanced"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
