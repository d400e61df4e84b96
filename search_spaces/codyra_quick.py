"""CoDyRA's two levers alone, for a first look: sparsity strength and placement."""

from suite.tuning.space import LogUniform, Space, choice

SPACE = Space(
    "codyra",
    {
        "method.kappa_max": LogUniform(1e-3, 1e-1),
        "method.placement": choice("qkvo", "inout", "qkvoinout", "vision:qkvoinout", "text:qkvoinout"),
    },
)
