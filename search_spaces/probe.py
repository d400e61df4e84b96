"""Where and how much: placements x ranks of fixed-rank LoRA, a full grid."""

from suite.tuning.space import Space, choice

SPACE = Space(
    "lora",
    {
        "method.placement": choice("q", "k", "v", "o", "in", "out", "qkvo", "inout", "qkvoinout"),
        "method.rank": choice(1, 4, 16, 64),
    },
)
