"""What placement letters mean in one backbone: module, shape, layers."""

from __future__ import annotations

from suite.backbones.learner import slot_address
from suite.lowrank.inject import adapt_open_clip_tower
from suite.lowrank.layer import slots_of

Row = tuple[str, str, str]


def placement_rows(model: str) -> list[Row]:
    """(placement weight, module, shape) for ``mini-clip``, an open_clip architecture, ``mini-lm`` or a causal LM."""
    from suite.backbones.open_clip_network import load_open_clip, open_clip_models

    if model == "mini-clip" or model in open_clip_models():
        from suite.backbones.pretrain_clip import load_mini_clip

        network = load_mini_clip()[0] if model == "mini-clip" else load_open_clip(model, None)[0]
        return _clip_rows(network)
    from suite.backbones.lm_network import placement_map

    return placement_map(model)


def _clip_rows(network: object) -> list[Row]:
    towers = {"vision": network.visual.transformer, "text": network.transformer}  # type: ignore[attr-defined]
    modules = {"o": "attn.out_proj", "in": "mlp.c_fc", "out": "mlp.c_proj"}
    rows: list[Row] = []
    for encoder, tower in towers.items():
        slots = adapt_open_clip_tower(tower.resblocks, encoder, causal=encoder == "text")
        last = max(slot_address(name)[1] for name in slots)
        for name, slot in slots_of(slots).items():
            _, layer, weight = slot_address(name)
            if layer == 0:
                module = modules.get(weight, f"attn.in_proj rows {slot.rows.start} to {slot.rows.stop - 1}")
                rows.append((f"{encoder}:{weight}", f"layers 0-{last} {module}", f"{slot.out_features} x {slot.in_features}"))
    return rows
