"""DualPrompt: vectors of the general prompt and of each task's own, pull of the keys, learning rate."""

from suite.tuning.space import IntUniform, LogUniform, Space

SPACE = Space(
    "dualprompt",
    {
        "method.general": IntUniform(1, 20, log=True),
        "method.expert": IntUniform(1, 20, log=True),
        "method.pull": LogUniform(0.01, 1.0),
        "training.lr": LogUniform(1e-4, 5e-2),
    },
)
