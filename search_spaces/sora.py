"""SoRA: penalty and threshold of the gates, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "sora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(4, 64, log=True),
        "method.xi": LogUniform(1e-5, 3e-3),
        "method.eta": LogUniform(1e-4, 10.0),
        "method.threshold_op": choice("soft", "codyra_release"),
        "method.gate_lr_multiplier": LogUniform(1.0, 1e3),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
