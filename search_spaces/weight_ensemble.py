"""Weight ensembling: steps between snapshots, rank and placement of the fixed-rank LoRA inside."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "weight-ensemble",
    {
        "method.inner.placement": PLACEMENTS,
        "method.inner.rank": IntUniform(1, 64, log=True),
        "method.every": choice(None, 1, 5, 10),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
