"""InfLoRA: rank, share of energy that earlier tasks keep, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "inflora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(2, 64, log=True),
        "method.energy_start": Uniform(0.8, 0.999),
        "training.lr": LogUniform(1e-4, 1e-2),
    },
)
