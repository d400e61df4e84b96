"""KeepLoRA: what is kept of the pretrained weights and of earlier tasks' inputs, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "keeplora",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(2, 64, log=True),
        "method.weight_energy_vision": Uniform(0.0, 0.95),
        "method.weight_energy_text": Uniform(0.0, 0.95),
        "method.feature_energy": Uniform(0.7, 0.999),
        "training.lr": LogUniform(1e-4, 5e-3),
    },
)
