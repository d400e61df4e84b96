"""Placements shared by the spaces of all low-rank methods: weights and encoder."""

from suite.tuning.space import choice

PARTIAL = ("qv", "qkvo", "inout", "vision:qkvo", "vision:inout", "text:qkvo")
WHOLE = ("qkvoinout", "vision:qkvoinout", "text:qkvoinout")  # all weights of the blocks; higher ranks cost most here
PLACEMENTS = choice(*PARTIAL, *WHOLE)
