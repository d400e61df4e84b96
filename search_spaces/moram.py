"""MoRAM: memories per task and slot, temperature and threshold of their choice, placement, learning rate."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "moram",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(4, 32, log=True),
        "method.tau": LogUniform(0.003, 1.0),
        "method.theta": Uniform(0.0, 0.5),
        "training.lr": LogUniform(1e-4, 5e-3),
    },
)
