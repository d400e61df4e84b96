"""RAIL-Primal: random features, ridge, how much of its output is mixed in."""

from suite.tuning.space import IntUniform, LogUniform, Space, Uniform

SPACE = Space(
    "rail-primal",
    {
        "method.width": IntUniform(2048, 15000, log=True),
        "method.ridge": LogUniform(1e-3, 10.0),
        "method.mix": Uniform(0.0, 1.0),
    },
)
