"""CoDyRA: sparsity strength and schedule, rank, placement, learning rates and the choices where paper and code differ."""

from search_spaces.placement import PARTIAL, PLACEMENTS, WHOLE
from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, by, choice

SPACE = Space(
    "codyra",
    {
        "method.placement": PLACEMENTS,
        "method.rank": by("method.placement", {PARTIAL: IntUniform(4, 64, log=True), WHOLE: IntUniform(4, 32, log=True)}),
        "method.kappa_max": LogUniform(1e-4, 2e-2),
        "method.dense_fraction": Uniform(0.0, 0.8),
        "method.kappa_levels": choice(10, 20),
        "method.gate_init": choice("normal", "ones"),
        "method.threshold_op": choice("soft", "codyra_release"),
        "method.gate_update": choice("adamw", "prox_sgd"),
        "method.gate_lr_multiplier": LogUniform(1.0, 1e3).when(method__gate_update="adamw"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
