"""A pool of prompts: vectors of the width of a network's tokens, put in front of each example's own ones, example by example.

Keys are compared with what the untouched network says of an example (``Learner.query``); the prompts of the closest keys are put there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.lowrank.layer import Part


class PromptPool(Part):
    """Stands on a site between the embedded tokens and the first block.

    Args:
        prompts: (pool, length, width).
        keys: (pool, query width).
        behind: tokens of the network's own that stay in front, such as a class token.

    Attributes:
        chosen: (n, k) prompts of each row of the coming forward pass, in the order in which they stand there.
    """

    def __init__(self, prompts: Tensor, keys: Tensor, *, behind: int = 0) -> None:
        super().__init__()
        self.prompts = nn.Parameter(prompts.float())
        self.keys = nn.Parameter(keys.float())
        self.behind = behind
        self.chosen = torch.empty(0, 0, dtype=torch.int64)

    def closeness(self, query: Tensor) -> Tensor:
        """(n, pool) cosines of the keys with queries (n, query width)."""
        return F.normalize(query.float(), dim=-1) @ F.normalize(self.keys, dim=-1).T

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """(n, tokens, width) -> (n, k length + tokens, width)."""
        put = self.prompts[self.chosen].flatten(1, 2).to(y.dtype)
        return torch.cat([y[:, : self.behind], put, y[:, self.behind :]], dim=1)
