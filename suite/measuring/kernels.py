"""What one training step asks of a GPU, counted without one: kernels, bytes and operations of a step on tensors that hold no numbers.

The step is taken by torch's fake tensors, so that nothing is computed and every operation that torch would launch comes by. Where a GPU
does otherwise than a CPU it is counted as the GPU does it: layer norms are fp32 under autocast, an optimizer's lists are cut. Views and
new memory are no kernels. What a kernel reads and writes counts once each, rows that are looked up instead of their whole table.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from suite.measuring.workload import Workload

aten = torch.ops.aten
NO_KERNEL = (
    "empty",
    "new_empty",
    "detach",
    "alias",
    "unsafe_view",
    "reshape_alias",
    "lift_fresh",
    "device",
    "split_with_sizes",
)
OUTPUTS = ("out", "grad_input")  # names of what an operation is given to write its result to
LOOKED_UP = ("embedding", "index", "index_select", "gather")  # read the rows that they are asked for
LIST_LENGTHS = {"_fused_adamw_": 36, "_fused_adam_": 36}  # tensors that one launch of torch's kernels over lists of four takes
OTHER_LISTS = 60
ATTENTION_BACKWARD = "_scaled_dot_product_flash_attention_for_cpu_backward"  # stands for what a GPU takes
ATTENTION_KERNELS = 3  # of it there: rows' sums, gradients, the queries' gradient in the dtype of the others
COUNTED_AS = {  # names of operations whose formula stands under another name
    "addmm_": aten.addmm,
    "baddbmm_": aten.baddbmm,
    "_scaled_dot_product_flash_attention_for_cpu": aten._scaled_dot_product_flash_attention,
    ATTENTION_BACKWARD: aten._scaled_dot_product_flash_attention_backward,
}


@dataclass(frozen=True)
class KernelCount:
    """Of one step. ``by_name``: operation -> (kernels, bytes), the largest bytes first."""

    kernels: int
    bytes: int
    operations: int
    by_name: Mapping[str, tuple[int, int]]


def count_step(work: Workload) -> KernelCount:
    """The second step of ``work``'s first task; the first makes what is kept for all of them."""
    trainer = work.stepping_trainer(work.stream(), plain=False)
    trainer.learner.begin_task(0)
    context = trainer.context(0)
    trainer.method.begin_task(context)
    steps = trainer._task_step(context)
    passes = [trainer._passes(context, rows) for rows in _rows(work, len(context.task.train))]
    with FakeTensorMode(allow_non_fake_inputs=True), _AsOnGpu(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # it is 0, and nothing is read there
        steps(0, 1e-3, passes[0])
        with _Counting() as counting:
            steps(1, 1e-3, passes[1])
    names = sorted(counting.bytes, key=lambda name: -counting.bytes[name])
    by_name = {name: (counting.kernels[name], counting.bytes[name]) for name in names}
    return KernelCount(counting.kernels.total(), counting.bytes.total(), counting.operations, by_name)


def _rows(work: Workload, there: int) -> Iterator[Tensor]:
    for step in range(2):
        yield (torch.arange(work.batch_size) + step * work.batch_size) % there


class _AsOnGpu(TorchFunctionMode):
    """A GPU's autocast runs layer norms in fp32, a CPU's in the dtype of their input."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.layer_norm and torch.is_autocast_enabled("cpu"):
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        out = func(*args, **given)
        name = func.overloadpacket.__name__
        if func.is_view or any(word in name for word in NO_KERNEL):
            return out
        read = [
            leaf
            for leaf in tree_leaves((args, {k: v for k, v in given.items() if k not in OUTPUTS}))
            if isinstance(leaf, Tensor)
        ]
        written = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.kernels[name] += _launches(name, read)
        if name in LOOKED_UP:
            read = [*read[1:], *written]
        self.bytes[name] += sum(map(_bytes, read)) + sum(map(_bytes, written or _own(name, read)))
        self.operations += _operations(func, name, args, given, out)
        return out


def _launches(name: str, read: Sequence[Tensor]) -> int:
    if name.startswith(("_foreach", "_fused_adam")):
        of_one_list = len(read) // (4 if name in LIST_LENGTHS else 1)
        return ceil(of_one_list / LIST_LENGTHS.get(name, OTHER_LISTS))
    return ATTENTION_KERNELS if name == ATTENTION_BACKWARD else 1


def _own(name: str, read: Sequence[Tensor]) -> Sequence[Tensor]:
    """What an operation over lists writes: its first lists, in place."""
    return read if name.startswith("_f") else ()


def _bytes(tensor: Tensor) -> int:
    """That are really there: an expanded tensor is read once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _operations(func: Any, name: str, args: Sequence[Any], given: Mapping[str, Any], out: Any) -> int:
    formula = flop_registry.get(COUNTED_AS.get(name, func.overloadpacket))
    if formula is None:
        return 0
    return int(formula(*args, **{key: value for key, value in given.items() if key not in OUTPUTS}, out_val=out))
