"""Fixed-rank LoRA: rank, scale, dropout, what happens between tasks, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "lora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.alpha": choice(None, 8, 16, 32),
        "method.dropout": Uniform(0.0, 0.2),
        "method.between": choice("merge", "carry", "stack"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
