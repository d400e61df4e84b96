"""Put slots into the decoder layers of a causal language model, whichever names and fusions its class has.

The projections of every layer are found by their path inside the layer (Llama, Gemma, Qwen, Mistral: separate ones;
Phi-3: fused rows; GPT-2: fused and stored transposed). Parameter names and objects stay those of the stock class, so
its state dict loads and saves unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from suite.errors import ConfigError
from suite.lowrank.adapted_linear import AdaptedLinear
from suite.lowrank.frozen_map import FrozenMap
from suite.lowrank.layer import Site, Slot
from suite.lowrank.placement import WEIGHTS

# Path inside a decoder layer -> the placement names of its rows, in order. Several names mean a fused weight.
PROJECTIONS: dict[str, tuple[str, ...]] = {
    "self_attn.q_proj": ("q",),
    "self_attn.k_proj": ("k",),
    "self_attn.v_proj": ("v",),
    "self_attn.o_proj": ("o",),
    "self_attn.out_proj": ("o",),
    "self_attn.dense": ("o",),
    "self_attn.qkv_proj": ("q", "k", "v"),
    "mlp.gate_proj": ("in.gate",),
    "mlp.up_proj": ("in.up",),
    "mlp.gate_up_proj": ("in.gate", "in.up"),
    "mlp.down_proj": ("out",),
    "mlp.fc1": ("in",),
    "mlp.fc2": ("out",),
    "fc1": ("in",),
    "fc2": ("out",),
    "attn.c_attn": ("q", "k", "v"),
    "attn.c_proj": ("o",),
    "mlp.c_fc": ("in",),
    "mlp.c_proj": ("out",),
}

MODULES = {"attn": ("self_attn", "attn"), "mlp": ("mlp",)}  # kind of site -> names that layers have for the module


@dataclass(frozen=True)
class Projection:
    """One module of the network and the slots it is made of: ``path`` as in the state dict, ``rows`` of each slot."""

    path: str
    names: tuple[str, ...]
    rows: tuple[slice, ...]
    module: nn.Module

    @property
    def is_transposed(self) -> bool:
        """GPT-2 stores (in, out) where a linear layer stores (out, in)."""
        return not isinstance(self.module, nn.Linear)


class AdaptedProjection(nn.Module):
    """A frozen fused or transposed map with one slot per row range; ``weight`` and ``bias`` keep names and objects.

    The slots see the weight as (out, in); for a transposed one that is a view of the same storage, so merges reach it.
    Put the network on its device before.
    """

    weight: nn.Parameter

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        module: Any = projection.module
        self.weight = module.weight
        self.bias = module.bias
        self.is_transposed = projection.is_transposed
        seen = nn.Parameter(self.weight.detach().t(), requires_grad=False) if self.is_transposed else self.weight
        parts = zip(projection.names, projection.rows, strict=True)
        slots = [Slot(name, seen, rows) for name, rows in parts]
        self.slots = nn.ModuleList(slots)
        self.map = FrozenMap(slots)

    def relink(self) -> None:
        """Let a transposed weight be the storage its slots see, after that was replaced (another dtype); of shards there is one alone."""
        first = self.slots[0]
        if self.is_transposed and isinstance(first, Slot) and first.shard is None:
            self.weight.data = first.weight.data.t()

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        return self.map(x, self.weight.t() if self.is_transposed else self.weight, self.bias)


def find_projections(network: nn.Module) -> list[Projection]:
    """All known projections of the decoder layers, layer by layer in the order q, k, v, o, in, out.

    Raises:
        ConfigError: if no decoder layer or no known projection is found, naming the linear maps that there are.
    """
    path, layers = decoder_layers(network)
    found: list[Projection] = []
    for index, layer in enumerate(layers):
        found.extend(_of_layer(network, f"{path}.{index}", index, layer))
    if not found:
        linear = sorted({name for name, module in layers[0].named_modules() if _is_linear(module)})
        raise ConfigError(
            f"backbone: {type(network).__name__} has none of the projections this suite knows; its layers have "
            f"{', '.join(linear) or 'no linear map'}; use a Llama-, Gemma-, Qwen-, Mistral-, Phi- or GPT-2-style model."
        )
    return found


def adapt_decoder(network: nn.Module) -> dict[str, Site]:
    """Replace every known projection by its adapted form; returns slots (``layers.3.in.gate``) and other sites (``layers.3.mlp``)."""
    slots: dict[str, Site] = {}
    for projection in find_projections(network):
        adapted: nn.Module
        if len(projection.names) == 1 and isinstance(projection.module, nn.Linear):
            adapted = AdaptedLinear(projection.module, projection.names[0])
            slots[projection.names[0]] = adapted.slot
        else:
            adapted = AdaptedProjection(projection)
            slots.update({slot.name: slot for slot in adapted.slots if isinstance(slot, Slot)})
        parent, _, child = projection.path.rpartition(".")
        setattr(network.get_submodule(parent), child, adapted)
    return {**slots, **_other_sites(network)}


def _other_sites(network: nn.Module) -> dict[str, Site]:
    """One site behind the attention and one behind the MLP of every layer that has such a module."""
    _, layers = decoder_layers(network)
    sites: dict[str, Site] = {}
    for index, layer in enumerate(layers):
        own = nn.ModuleDict()
        for kind, names in MODULES.items():
            module = next((getattr(layer, name) for name in names if hasattr(layer, name)), None)
            if isinstance(module, nn.Module):
                site = own[kind] = sites[f"layers.{index}.{kind}"] = Site(f"layers.{index}.{kind}")
                module.register_forward_hook(_behind(site), with_kwargs=True)
        layer.add_module("sites", own)
    return sites


def _behind(site: Site) -> Callable[..., Any]:
    """A hook that hands a module's result, alone or first of a tuple, through the parts on ``site``."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        if not site.parts:
            return None
        x = args[0] if args else kwargs["hidden_states"]
        return (site(result[0], x), *result[1:]) if isinstance(result, tuple) else site(result, x)

    return hook


def module_paths(network: nn.Module) -> dict[str, str]:
    """Slot name -> path of the linear layer it is the whole of; row ranges and transposed maps have none."""
    return {module.slot.name: path for path, module in network.named_modules() if isinstance(module, AdaptedLinear)}


def placement_rows(network: nn.Module) -> list[tuple[str, str, str]]:
    """(placement weight, layers and the model's own projection, shape out x in) of every slot of the first layer."""
    found = find_projections(network)
    last = int(found[-1].names[0].split(".")[1])
    rows = []
    for projection in found:
        module: Any = projection.module
        width = module.weight.shape[0 if projection.is_transposed else 1]
        inside = projection.path.partition(".0.")[2]
        for name, part in zip(projection.names, projection.rows, strict=True):
            if name.startswith("layers.0."):
                where = f" rows {part.start} to {part.stop - 1}" if len(projection.names) > 1 else ""
                shape = f"{part.stop - part.start} x {width}"
                rows.append((name.split(".")[2], f"layers 0-{last} {inside}{where}", shape))
    return rows


def language_tower(network: nn.Module) -> nn.Module:
    """The decoder of a network, without the towers for pictures or sound that its class may have beside it."""
    found: nn.Module = network.get_decoder() if hasattr(network, "get_decoder") else network  # type: ignore[operator]
    return found


def decoder_layers(network: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and list of the language tower's layers: the first list with a known projection, else the longest."""
    tower = language_tower(network)
    above = next(name for name, part in network.named_modules() if part is tower)
    start = f"{above}." if above else ""
    lists = [(start + name, part) for name, part in tower.named_modules() if isinstance(part, nn.ModuleList) and len(part)]
    for name, module in lists:
        if any(_submodule(module[0], path) is not None for path in PROJECTIONS):
            return name, module
    if not lists:
        raise ConfigError(f"backbone: {type(network).__name__} has no decoder layers; use a causal language model.")
    return max(lists, key=lambda item: len(item[1]))


def _of_layer(network: nn.Module, path: str, index: int, layer: nn.Module) -> Iterator[Projection]:
    known = [(inside, names) for inside, names in PROJECTIONS.items() if _is_linear(_submodule(layer, inside))]
    known.sort(key=lambda item: WEIGHTS.index(item[1][0].split(".")[0]))
    for inside, names in known:
        module: Any = layer.get_submodule(inside)
        total = module.weight.shape[0 if isinstance(module, nn.Linear) else 1]
        sizes = _row_counts(names, int(total), _text_config(network))
        ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
        rows = tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        yield Projection(f"{path}.{inside}", tuple(f"layers.{index}.{name}" for name in names), rows, module)


def _text_config(network: nn.Module) -> Any:
    config: Any = getattr(network, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _row_counts(names: Sequence[str], total: int, config: Any) -> list[int]:
    """Rows of each part of a fused weight; queries may have more heads than keys and values."""
    if len(names) == 3:
        heads = getattr(config, "num_attention_heads", 1)
        keys = getattr(config, "num_key_value_heads", None) or heads
        unit = total // (heads + 2 * keys)
        return [heads * unit, keys * unit, keys * unit]
    return [total // len(names)] * len(names)


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _is_linear(module: nn.Module | None) -> bool:
    """A linear layer, or the transposed one of GPT-2 (class ``Conv1D`` of transformers)."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
