"""A mixture of bottleneck adapters beside a block's MLP, and the routers that choose among them row by row.

    y <- y + scale sum over the ``top`` experts e of largest logit of  g_e (U_e relu(D_e x + c_e) + d_e),    g = softmax of their logits
    logits = x_0 W_t + noise,    noise = randn (softplus(x_0 N_t) + 0.01), in training alone

D_e (width, in), U_e (in, width) at zero in the beginning; W_t and N_t (in, experts) belong to task t and begin at zero. x_0 is the first
token of the row. Prompts all begin with the same token, which in a causal encoder sees nothing else, so that what it says is one vector
of logits and one of noises: there routers are these vectors (experts,) themselves.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.lowrank.layer import Part

NOISE_FLOOR = 0.01


class Experts(Part):
    """See above; ``x`` (n, tokens, in), every row one image or one prompt.

    Args:
        size: in.
        by_token: route by x_0; otherwise by a vector, the same for all rows.

    Attributes:
        use: (experts,) how often each was chosen in training since it was set to zero.
        current: task whose router is in force in training.
        asked: task whose router is in force for all rows otherwise; -1: none, and y stays what it is.
        rows: (n,) int64, the same row by row; goes before ``asked`` where it is set.
    """

    def __init__(
        self,
        size: int,
        count: int,
        width: int,
        generator: torch.Generator,
        *,
        top: int,
        scale: float,
        dropout: float,
        by_token: bool,
    ) -> None:
        super().__init__()
        bound = size**-0.5
        drawn = torch.empty(count, width, size).uniform_(-bound, bound, generator=generator)
        self.down = nn.ParameterList(nn.Parameter(one.clone()) for one in drawn)
        self.down_bias = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(count))
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(width, size)) for _ in range(count))
        self.up_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for _ in range(count))
        self.gates, self.noises = nn.ParameterList(), nn.ParameterList()
        self.use: Tensor
        self.register_buffer("use", torch.zeros(count), persistent=False)
        self.top, self.scale, self.dropout = top, scale, dropout
        self.by_token = by_token
        self.current = self.asked = -1
        self.rows: Tensor | None = None

    def add_router(self) -> None:
        """One more task; routers of earlier ones stop learning."""
        shape = (self.down[0].shape[1], len(self.down)) if self.by_token else (len(self.down),)
        for routers in (self.gates, self.noises):
            routers.requires_grad_(False)
            routers.append(nn.Parameter(torch.zeros(shape, device=self.use.device)))

    def freeze(self, experts: Tensor) -> None:
        """The experts of these numbers (k,) learn no more."""
        for expert in experts.tolist():
            for kind in (self.down, self.down_bias, self.up, self.up_bias):
                kind[expert].requires_grad_(False)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        if self.training:
            logits, on = self._noisy(x), None
            values, chosen = logits.topk(self.top, dim=1)
            self._count(chosen)
        else:
            if self.rows is None and self.asked < 0:
                return y
            tasks = self.rows if self.rows is not None else torch.full((len(x),), self.asked, device=x.device)
            values, chosen = self._logits(x, tasks.clamp(min=0)).topk(self.top, dim=1)
            on = tasks >= 0
        shares = values.softmax(dim=1)
        if on is not None:
            shares = shares * on[:, None]
        return y + (self.scale * self._mixed(x, shares, chosen)).to(y.dtype)

    def _noisy(self, x: Tensor) -> Tensor:
        """(n, experts) logits of the current task's router."""
        gate, noise = self.gates[self.current], self.noises[self.current]
        if self.by_token:
            first = x[:, 0].float()
            clean, spread = first @ gate, first @ noise
        else:
            clean, spread = gate.expand(len(x), -1), noise.expand(len(x), -1)
        noisy: Tensor = clean + torch.randn_like(clean) * (F.softplus(spread) + NOISE_FLOOR)
        return noisy

    def _logits(self, x: Tensor, tasks: Tensor) -> Tensor:
        """(n, experts) of each row's own router, ``tasks`` (n,)."""
        gates: Tensor = torch.stack(list(self.gates))
        if not self.by_token:
            return gates.index_select(0, tasks)
        every = torch.einsum("nd,tde->nte", x[:, 0].float(), gates)
        own: Tensor = every[torch.arange(len(x), device=x.device), tasks]
        return own

    @torch.no_grad()
    def _count(self, chosen: Tensor) -> None:
        self.use += F.one_hot(chosen, len(self.use)).sum(dim=(0, 1))

    def _mixed(self, x: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """(n, tokens, in): the chosen experts (n, k) of each row, weighed by shares (n, k)."""
        n, tokens, size = x.shape
        down, down_bias, up, up_bias = (
            torch.stack(list(kind))[chosen] for kind in (self.down, self.down_bias, self.up, self.up_bias)
        )
        hidden = torch.baddbmm(
            down_bias.reshape(n, 1, -1).to(x.dtype), x, down.reshape(n, -1, size).transpose(1, 2).to(x.dtype)
        ).relu()
        hidden = F.dropout(hidden, self.dropout, self.training).view(n, tokens, self.top, -1) * shares[:, None, :, None].to(
            hidden.dtype
        )
        bias = (shares[:, :, None] * up_bias).sum(dim=1)[:, None]
        return torch.baddbmm(bias.to(hidden.dtype), hidden.view(n, tokens, -1), up.reshape(n, -1, size).to(hidden.dtype))
