"""LoDA: how much of the general branch is merged, gradient alignment, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "loda",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(4, 64, log=True),
        "method.gamma": LogUniform(0.1, 30.0),
        "method.aligned": choice(True, False),
        "method.rho": Uniform(0.0, 1.0).when(method__aligned=True),
        "training.optimizer": choice("sgd", "adamw"),
        "training.lr": LogUniform(1e-4, 5e-2),
    },
)
