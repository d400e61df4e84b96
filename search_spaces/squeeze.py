"""LoRA-Squeeze: rank before and after, how often and when is cut, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "squeeze",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(16, 64, log=True),
        "method.merged_rank": choice(1.0, 2.0, 4.0, 8.0, 16.0),
        "method.stages": choice(1, 2, 4, 8),
        "method.refine_fraction": choice(0.0, 0.25, 0.5),
        "method.allocation": choice("uniform", "global"),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
