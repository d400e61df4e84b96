"""What a sweep may vary: rank, how much of an update is kept, learning rate."""

from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "damped-lora",
    {
        "method.rank": IntUniform(1, 32, log=True),
        "method.amount": Uniform(0.1, 1.0),
        "training.lr": LogUniform(1e-4, 1e-2),
    },
)
