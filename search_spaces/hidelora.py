"""HiDeLoRA in TreeLoRA's form: strength and temperature of the contrast, rank, placement, learning rate."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space

SPACE = Space(
    "hidelora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.strength": LogUniform(0.005, 5.0),
        "method.temperature": LogUniform(0.1, 5.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
