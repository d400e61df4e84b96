"""LwF-VR: distillation strength, temperature, number of texts, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "lwf-vr",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.weight": LogUniform(0.01, 10.0),
        "method.transposed_weight": choice(0.0, 1.0),
        "method.temperature": LogUniform(1.0, 8.0),
        "method.number": IntUniform(100, 4000, log=True),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
