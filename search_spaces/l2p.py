"""L2P: prompts per example, vectors of each, pull of the keys, learning rate; a pool of ten holds every choice."""

from suite.tuning.space import IntUniform, LogUniform, Space

SPACE = Space(
    "l2p",
    {
        "method.top": IntUniform(1, 10),
        "method.length": IntUniform(1, 20, log=True),
        "method.pull": LogUniform(0.01, 1.0),
        "training.lr": LogUniform(1e-4, 5e-2),
    },
)
