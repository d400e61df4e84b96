"""EWC: strength and memory of the penalty, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "ewc",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.strength": LogUniform(1.0, 1e7),
        "method.gamma": Uniform(0.5, 1.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
