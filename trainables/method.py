"""A method: a small strategy on the shared stream trainer. Only ``attach`` is abstract; every other hook does nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from suite.backbones.learner import Batch, Learner, Output
from suite.benchmarks.stream import Task
from suite.lowrank.layer import Factors, Slot, merged_form
from suite.randomness import RandomStreams


@dataclass(frozen=True)
class TaskContext:
    """What the hooks may know of the task at hand: its index in the stream and how many optimizer steps it gets."""

    index: int
    task: Task
    steps: int
    batch_size: int
    learner: Learner
    random: RandomStreams


@dataclass(frozen=True)
class Step:
    """One forward pass of optimizer step ``index`` of ``of``; ``batches[0]`` is the current task's, the rest are extra.

    With accumulation a step has several passes; per-step hooks get the last one. ``lr`` is the step's learning rate.
    """

    index: int
    of: int
    lr: float
    batches: list[Batch]
    outputs: list[Output]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with their own multiplier of the learning rate."""

    parameters: list[nn.Parameter]
    lr_multiplier: float = 1.0


@dataclass(frozen=True)
class MethodFacts:
    """What a method reports after a task.

    Attributes:
        trainable_parameters: numbers the optimizer may change in this task.
        effective_rank: parts left per slot after pruning.
        no_signal_rank: parts the schedule alone would leave per slot, None where rank is not learned.
        carried_bytes: what is kept for later tasks beside the network's own weights.
        chosen: settings that the config leaves to the method, as they were for this task.
        notes: full sentences for the reader of the record.
    """

    trainable_parameters: int
    effective_rank: dict[str, int] = field(default_factory=dict)
    no_signal_rank: float | None = None
    carried_bytes: int = 0
    chosen: Mapping[str, int | float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Method(ABC):
    """Hooks in the order in which the trainer calls them.

    A method changes the network only through the slots' branches and ``merge``; what it merged is kept in ``merged`` until
    the trainer has written it into the checkpoint of the task, so that a resumed run repeats the same additions.

    Attributes:
        capturable: the hooks ``loss``, ``after_backward`` and ``after_step`` read nothing back from the device and take what changes
            from step to step from tensors that ``before_step`` fills, not from ``Step``; such steps are recorded and replayed on GPUs.
            ``extra_batches`` of such a method does not depend on what the network has learned in the task, so it may be asked ahead.
        carry_optimizer: go on with the same optimizer state over task boundaries.
        trains: False for a method without any training step.
    """

    capturable: ClassVar[bool] = False

    def __init__(self) -> None:
        self.carry_optimizer = False
        self.trains = True
        self.slots: list[Slot] = []
        self.merged: dict[str, Factors] = {}

    @abstractmethod
    def attach(self, learner: Learner, random: RandomStreams) -> None:
        """Once, on the frozen learner: choose slots, make what outlives a task."""

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        """Before anything is measured or stored: refuse steps per task that the method's schedules cannot use."""

    def begin_task(self, context: TaskContext) -> None:
        """Before the first step: fresh branches, data statistics, schedules."""

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        """Batches beside the current one (memory, reference data), in proportion to it, from the method's own generator."""
        return []

    def before_step(self, index: int, lr: float) -> None:
        """On the host, before step ``index`` at learning rate ``lr``: fill the tensors the other hooks read."""

    def loss(self, step: Step) -> Tensor:
        """Scalar to minimise; the current batch's task loss unless a method adds to it."""
        return step.outputs[0].loss

    def after_backward(self, step: Step) -> None:
        """Gradients are complete and unscaled, before clipping."""

    def after_step(self, step: Step) -> None:
        """After the optimizer: proximal operators, projections, averages."""

    def end_task(self, context: TaskContext) -> None:
        """After the last step: prune, merge or stack, fill memories. Evaluation follows."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """What the optimizer may change; by default all parameters of the live branches that require gradients."""
        parameters = [p for slot in self.slots for p in slot.branches.parameters() if p.requires_grad]
        return [ParameterGroup(parameters)] if parameters else []

    def state(self) -> dict[str, Tensor]:
        """Tensors to carry over a task boundary beside branches and merged factors, ready for safetensors."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state``; called after ``attach`` and after branches were restored.

        Puts the coefficients of branches that have one back: their tensors are restored afterwards, their code cannot be.
        """

    def facts(self) -> MethodFacts:
        """Counts for the record, asked for after ``end_task``."""
        return MethodFacts(trainable_parameters=0)

    def merge(self, slot: Slot, key: str, amount: float = 1.0) -> Factors:
        """Add ``amount`` times a branch's update to the frozen weight (fp32) and remove the branch; once per slot and task."""
        assert slot.name not in self.merged, f"{slot.name} is merged twice in a task; the checkpoint would keep the second update alone"
        factors = merged_form(slot, key)
        factors = Factors(factors.a, factors.b * amount) if amount != 1.0 else factors
        slot.add_to_weight(factors)
        del slot.branches[key]
        self.merged[slot.name] = factors
        return factors


def count_parameters(groups: Iterable[ParameterGroup]) -> int:
    """Numbers in all groups."""
    return sum(parameter.numel() for group in groups for parameter in group.parameters)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors' elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
