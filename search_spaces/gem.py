"""GEM: memory, margin, policy between tasks, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "gem",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.memory_per_task": IntUniform(8, 256, log=True),
        "method.margin": Uniform(0.0, 1.0),
        "method.inner.between": choice("carry", "merge"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
