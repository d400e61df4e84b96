"""SD-LoRA: rank, how magnitudes begin, learn and are shared, placement, optimizer."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "sdlora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.magnitude": choice("global", "per_slot"),
        "method.magnitude_init": LogUniform(0.1, 2.0),
        "method.magnitude_lr_multiplier": LogUniform(0.1, 100.0),
        "method.carry_magnitudes": choice(True, False),
        "training.optimizer": choice("sgd", "adamw"),
        "training.lr": LogUniform(1e-4, 5e-2),
    },
)
