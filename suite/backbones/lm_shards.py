"""A language model whose decoder blocks lie over several workers: torch's FSDP2 gathers one block at a time and frees it again.

The matrices of a block are one group. Embeddings, vocabulary projection, norms, biases and all that a method learns stay whole on every
worker. Every pass of the network gathers the blocks, so all workers have to make equally many: steps are the same everywhere, and where
the workers answer different tasks, ``in_step`` lets the others go on passing until the last one has finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from suite.lowrank.decoder import decoder_layers, language_tower
from suite.lowrank.frozen_map import FrozenMap
from suite.lowrank.layer import Site
from suite.lowrank.sharded import WeightShard
from suite.lowrank.statistics import parts_off

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


class Shards:
    """Splits the blocks of an adapted, frozen ``network`` in host memory over ``mesh``, one after the other.

    Meanwhile a worker's device holds its part and never more than one whole block. ``sites`` are those of the network.
    """

    def __init__(self, network: Any, sites: Mapping[str, Site], mesh: DeviceMesh) -> None:
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.tensor import DTensor

        self.network = network
        self.sites = sites
        self.mesh = mesh
        self.tower = language_tower(network)
        _, self.blocks = decoder_layers(network)
        for block in self.blocks:
            whole = {parameter for parameter in block.parameters() if parameter.dim() < 2}
            fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
        whole = {parameter for parameter in self.tower.parameters() if not isinstance(parameter, DTensor)}
        own = type(self.tower)
        fully_shard(self.tower, mesh=mesh, ignored_params=whole)  # splits nothing itself: a root has its blocks gathered ahead
        self.tower.__class__ = own  # by which transformers looks up what a model can return beside its last states
        _let_go(self.blocks)

    @property
    def workers(self) -> int:
        return int(self.mesh.size())

    def least(self, number: float) -> float:
        """The smallest of all workers' numbers; all have to ask."""
        found = torch.tensor(number, device=self.mesh.device_type, dtype=torch.float64)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MIN, group=self.mesh.get_group())
        return float(found)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Around passes without gradients that are not equally many on all workers; ends when the last worker has made its last one."""
        handle = self.tower.register_forward_pre_hook(lambda *_: self._announce())
        try:
            yield
        finally:
            handle.remove()
        while self._busy(0):
            self._pass()

    def _announce(self) -> None:
        self._busy(1)

    def _busy(self, own: int) -> int:
        """How many workers are about to pass the network for themselves; ``own`` is 1 if this one is. All say so before each pass."""
        count = torch.tensor(own, device=self.mesh.device_type)
        torch.distributed.all_reduce(count, group=self.mesh.get_group())
        return int(count)

    @torch.no_grad()
    def _pass(self) -> None:
        """Gather and free every block, for the others."""
        keys = {key for site in self.sites.values() for key in site.parts}
        token = torch.zeros(1, 1, dtype=torch.long, device=self.mesh.device_type)
        with parts_off(self.sites, tuple(keys)):
            self.network(input_ids=token, use_cache=False, logits_to_keep=1)


def _let_go(blocks: nn.ModuleList) -> None:
    """Tell the slots where their weights are now; what they held is freed."""
    for module in blocks.modules():
        found = getattr(module, "map", None)
        if isinstance(found, FrozenMap):
            shard = WeightShard(module, is_transposed=getattr(module, "is_transposed", False))
            for slot in found.slots:
                slot.lies_sharded(shard)
