"""iCaRL: memory, distillation and the exemplars' own loss, rank, placement."""

from search_spaces.placement import PLACEMENTS
from suite.tuning.space import IntUniform, LogUniform, Space, choice

SPACE = Space(
    "icarl",
    {
        "method.placement": PLACEMENTS,
        "method.rank": IntUniform(1, 64, log=True),
        "method.memory_size": IntUniform(50, 2000, log=True),
        "method.teacher": choice("zero_shot", "previous"),
        "method.weight": LogUniform(0.01, 10.0),
        "method.temperature": LogUniform(1.0, 8.0),
        "method.exemplar_weight": choice(0.0, 0.3, 1.0),
        "training.lr": LogUniform(1e-5, 5e-3),
    },
)
