"""CoDyRA with its training budget searched too; compare its rows with others of equal budget only."""

from search_spaces.codyra import SPACE as CODYRA
from suite.tuning.space import Space, choice

SPACE = Space("codyra", {"training.steps": choice(100, 250, 500, 1000), **CODYRA.parameters})
