"""Placements shared by the spaces of all low-rank methods: weights and encoder."""

from suite.tuning.space import choice

PLACEMENTS = choice(
    "qv", "qkvo", "inout", "qkvoinout", "vision:qkvo", "vision:inout", "vision:qkvoinout", "text:qkvo", "text:qkvoinout"
)
