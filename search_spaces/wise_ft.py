"""WiSE-FT: how far towards which reference, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "wise-ft",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.alpha": Uniform(0.0, 1.0),
        "method.towards": choice("previous", "zero-shot"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
