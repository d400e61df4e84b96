"""SnD: when the younger teacher takes over, distillation, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "snd",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.reach": LogUniform(0.5, 50.0),
        "method.weight": LogUniform(0.01, 10.0),
        "method.transposed_weight": choice(0.0, 1.0),
        "method.temperature": LogUniform(1.0, 8.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
