"""MoE-Adapters: how many experts serve an image and how strongly, when an image is left to zero-shot, learning rate."""

from suite.tuning.space import IntUniform, LogUniform, Space, Uniform, choice

SPACE = Space(
    "moe-adapters",
    {
        "method.width": IntUniform(8, 128, log=True),
        "method.top": choice(1, 2, 4),
        "method.scale": LogUniform(0.01, 1.0),
        "method.frozen": choice(0, 2, 4),
        "method.quantile": Uniform(0.5, 1.0),
        "training.lr": LogUniform(1e-4, 1e-2),
    },
)
