"""EWC-LoRA: strength and memory of the penalty, form of the Fisher matrix, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "ewclora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.fisher": choice("per_example", "batch"),
        "method.strength": LogUniform(1.0, 1e9),
        "method.gamma": Uniform(0.5, 1.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
