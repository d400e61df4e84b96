"""The control of CoDyRA's pruning, over what CoDyRA's own space has beside its thresholds."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import LogUniform, Space, Uniform, choice

SPACE = Space(
    "random-parts",
    {
        "method.placement": PLACEMENTS,
        "method.merged_rank": Uniform(1.0, 16.0),
        "method.pruned": choice("start", "ramp"),
        "method.dense_fraction": Uniform(0.0, 0.8).when(method__pruned="ramp"),
        "method.gate_init": choice("normal", "ones"),
        "method.gate_lr_multiplier": LogUniform(1.0, 1e3),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
