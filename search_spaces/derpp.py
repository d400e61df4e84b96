"""DER++: size and use of the memory, both weights, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "derpp",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.memory_size": IntUniform(50, 2000, log=True),
        "method.memory_share": choice(0.25, 0.5, 1.0),
        "method.alpha": LogUniform(0.01, 1000.0),
        "method.beta": LogUniform(0.1, 2.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
