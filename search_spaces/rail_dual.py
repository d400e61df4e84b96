"""RAIL-Dual: width of its kernel, ridge, how much of its output is mixed in."""

from suite.tuning.space import LogUniform, Space, Uniform

SPACE = Space(
    "rail-dual",
    {
        "method.gamma": LogUniform(1e-2, 10.0),
        "method.ridge": LogUniform(1e-5, 1.0),
        "method.mix": Uniform(0.0, 1.0),
    },
)
