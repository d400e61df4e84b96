"""A-GEM: memory and rows of it per step, policy between tasks, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "agem",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.memory_per_task": IntUniform(8, 256, log=True),
        "method.memory_batch": IntUniform(8, 128, log=True),
        "method.inner.between": choice("carry", "merge"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
