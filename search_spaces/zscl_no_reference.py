"""ZSCL without a reference set: what is searched for ZSCL."""

from search_spaces.zscl import SPACE as ZSCL
from suite.tuning.space import Space

SPACE = Space("zscl-no-reference", ZSCL.parameters)
