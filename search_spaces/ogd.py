"""OGD: directions per task, rank, placement; small, for what is kept grows with all of them."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "ogd",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 4),
        "method.directions": choice(25, 50, 100, 150),
        "method.project_step": choice(True, False),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
