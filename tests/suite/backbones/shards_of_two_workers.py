"""Run by ``test_lm_shards.py`` in two processes: models whose blocks lie over both, beside the same ones in one piece.

Arguments: rank, port, folders of models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from suite.backbones.learner import freeze
from suite.backbones.lm_network import load_causal_lm, raise_to_fp32
from suite.backbones.lm_shards import Shards
from suite.lowrank.decoder import adapt_decoder, decoder_layers
from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.layer import Factors, Site, Slot, fresh_branch, slots_of

WORKERS = 2


class Model:
    """One network with a branch on every slot, in one piece or in shards."""

    def __init__(self, folder: str, *, in_shards: bool, checkpointed: bool = False, dtype: torch.dtype = torch.float32) -> None:
        self.network: Any = load_causal_lm(folder, dtype)[0]
        self.sites: dict[str, Site] = adapt_decoder(self.network)
        self.slots: dict[str, Slot] = slots_of(self.sites)
        freeze(self.network)
        self.checkpointed = checkpointed
        if checkpointed:
            self.network.gradient_checkpointing_enable({"use_reentrant": False})
        self.blocks = decoder_layers(self.network)[1]
        self.whole_bytes = sum(matrix.nbytes for matrix in self.matrices())
        self.shards = Shards(self.network, self.sites, init_device_mesh("cpu", (WORKERS,))) if in_shards else None
        chosen = list(self.slots.values())
        raise_to_fp32(self.network, chosen[: len(chosen) // 2])
        generator = torch.Generator().manual_seed(7)
        for slot in chosen[: len(chosen) // 2]:
            slot.parts["task"] = fresh_branch(slot, 1, generator)
            slot.branch("task").b.data.normal_(generator=generator).mul_(0.05)

    def matrices(self) -> list[nn.Parameter]:
        frozen = [value for name, value in self.blocks.named_parameters() if ".parts." not in name]
        return [value for value in frozen if value.dim() == 2]

    def held_bytes(self) -> int:
        return sum(m.to_local().nbytes if isinstance(m, DTensor) else m.nbytes for m in self.matrices())

    def weights(self) -> list[Tensor]:
        return [m.full_tensor() if isinstance(m, DTensor) else m.detach() for m in self.matrices()]

    def logits(self, ids: Tensor) -> Tensor:
        found: Tensor = self.network(input_ids=ids, use_cache=False).logits
        return found

    def made(self) -> AbstractContextManager[None]:
        return nullcontext() if self.checkpointed else EffectiveWeights(self.network).made()

    def gradients(self) -> list[Tensor]:
        found = [p.grad for slot in self.slots.values() for p in slot.parts.parameters()]
        for slot in self.slots.values():
            slot.parts.zero_grad()
        return [gradient for gradient in found if gradient is not None]


@contextmanager
def nothing_whole_kept(model: Model) -> Iterator[None]:
    """What a pass keeps for its backward pass has no memory for a block's matrix once the block is done."""
    shapes = {tuple(shape) for m in model.matrices() for shape in (m.shape, m.shape[::-1])}
    kept: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        if tuple(value.shape) in shapes:
            kept.append(value)
        return value

    with saved_tensors_hooks(note, lambda value: value):
        yield
    assert kept, "the maps keep their weights for the backward pass"
    assert not any(value.untyped_storage().size() for value in kept)


def learn(model: Model, ids: Tensor, autocast: bool) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of two batches in one step."""
    model.network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), model.made():
        loss = torch.stack([model.logits(some).float().log_softmax(-1)[..., 5].mean() for some in (ids, ids.flip(1))]).sum()
    loss.backward()
    model.network.eval()
    return loss.detach(), model.gradients()


def equal_steps(folder: str, rank: int, *, checkpointed: bool, dtype: torch.dtype, autocast: bool) -> None:
    ids = torch.randint(3, 60, (3, 7), generator=torch.Generator().manual_seed(rank))  # other rows on the other worker
    whole, shared = (Model(folder, in_shards=on, checkpointed=checkpointed, dtype=dtype) for on in (False, True))
    loss, gradients = learn(whole, ids, autocast)
    if not checkpointed:
        model = shared.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), shared.made(), nothing_whole_kept(shared):
            kept_alive = shared.logits(ids)
        del model, kept_alive
    found, others = learn(shared, ids, autocast)
    assert torch.allclose(found, loss, rtol=1e-6), (found, loss)
    assert len(gradients) == len(others)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(gradients, others, strict=True))


def merges(folder: str, rank: int) -> None:
    """For good and for a while; what is stored is what one piece would be, bit for bit."""
    whole, shared = Model(folder, in_shards=False), Model(folder, in_shards=True)
    assert shared.held_bytes() <= 0.55 * whole.whole_bytes, (shared.held_bytes(), whole.whole_bytes)
    ids = torch.randint(3, 60, (2, 5), generator=torch.Generator().manual_seed(rank))
    generator = torch.Generator().manual_seed(11)
    for name, slot in whole.slots.items():
        size = slot.out_features, slot.in_features
        factors = Factors(torch.randn(2, size[1], generator=generator), torch.randn(size[0], 2, generator=generator) * 0.1)
        slot.add_to_weight(factors)
        shared.slots[name].add_to_weight(factors)
    assert all(torch.equal(a, b) for a, b in zip(whole.weights(), shared.weights(), strict=True))
    assert shared.shards is not None
    with torch.no_grad():
        plain = whole.logits(ids)
        assert torch.allclose(shared.logits(ids), plain, atol=1e-5)
        with EffectiveWeights(shared.network).merged(shared.shards.least):
            assert not all(torch.equal(a, b) for a, b in zip(whole.weights(), shared.weights(), strict=True))
            with shared.shards.in_step():  # the second worker passes the network more often
                for _ in range(1 + rank):
                    assert torch.allclose(shared.logits(ids), plain, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(whole.weights(), shared.weights(), strict=True))
    assert shared.shards.least(float(5 - rank)) == 4.0


def main() -> None:
    rank, port, *folders = sys.argv[1:]
    torch.set_num_threads(1)
    patience = timedelta(seconds=120)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", patience, WORKERS, int(rank))
    for folder in folders:
        merges(folder, int(rank))
        equal_steps(folder, int(rank), checkpointed=False, dtype=torch.float32, autocast=False)
        equal_steps(folder, int(rank), checkpointed=False, dtype=torch.float32, autocast=True)
    equal_steps(folders[0], int(rank), checkpointed=True, dtype=torch.bfloat16, autocast=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
