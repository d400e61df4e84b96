"""Any-SSR: ridge of the router, shared layers, rank and placement of the LoRAs, learning rate."""

from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "any-ssr",
    {
        "method.placement": choice("qv", "qkvo", "inout", "qkvoinout"),
        "method.rank": IntUniform(1, 64, log=True),
        "method.ridge": LogUniform(1e-3, 1e3),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
