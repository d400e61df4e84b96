"""A method: a small strategy on the shared stream trainer. Only ``attach`` is abstract; every other hook has a default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from suite.backbones.learner import Batch, Learner, Output, ReferenceData
from suite.benchmarks.stream import Task
from suite.data.examples import Split
from suite.lowrank.journal import Journal
from suite.lowrank.layer import Factors, Slot, merged_form
from suite.randomness import RandomStreams

Need = Literal["clip", "lm", "references"]  # a kind of backbone, or a reference set
RunPass = Callable[[list[Batch]], Tensor]  # forward, ``loss`` and backward of some batches; returns their detached task loss


@dataclass(frozen=True)
class TaskContext:
    """What the hooks may know of the task at hand.

    Attributes:
        index: of the task in the stream, from 0.
        steps: optimizer steps that the budget gives the task.
        journal: what was merged after earlier tasks, and so how far the network is from its pretrained weights.
    """

    index: int
    task: Task
    steps: int
    batch_size: int
    learner: Learner
    random: RandomStreams
    journal: Journal

    @property
    def references(self) -> ReferenceData | None:
        """The run's reference set; None without one."""
        return self.learner.references

    def batches(self, split: Split = "train") -> Iterator[Batch]:
        """The task's rows of ``split`` in order, not augmented, ``batch_size`` at a time; the last batch may be smaller."""
        return self.learner.batches(self.index, split, self.batch_size)


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
    """Parameters with their own multiplier of the learning rate; ``weight_decay`` None is the run's."""

    parameters: list[nn.Parameter]
    lr_multiplier: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class MethodFacts:
    """What a method reports after a task.

    Attributes:
        trainable_parameters: numbers the optimizer may change in this task.
        effective_rank: parts left per slot after pruning, of which an example may use all: what was merged before does not count,
            nor what examples are kept out of.
        no_signal_rank: parts the schedule alone would leave per slot, None where rank is not learned.
        carried_bytes: what is kept for later tasks beside the network's own weights.
        chosen: settings that the config leaves to the method, as they were for this task, and what it measured of itself.
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

    A method changes the network only through parts on the learner's slots and sites and through ``add``; what it added is kept in
    ``added`` until the trainer has written it into the checkpoint of the task, so that a resumed run repeats the same additions.

    Attributes:
        needs: kinds of backbone that the method can serve, and ``references`` where it cannot do without a reference set; refused
            before anything is trained where the run has something else.
        decision: ``sample`` when the answer to an example depends on that example alone, ``batch`` when on those beside it too.
        task_id_at_test: the answer needs to be told which task an example belongs to.
        extra_data: what is used beside the examples of the task at hand, in a word or two (``stored examples``); empty for nothing.
        mergeable: what was learned ends in the backbone's own weights, so that answering costs what it cost before.
        jumps: why the function may change between the end of a task and the first step of the next; None: it must not.
        capturable: the hooks ``loss``, ``after_backward`` and ``after_step`` read nothing back from the device and take what changes
            from step to step from tensors that ``before_step`` fills, not from ``Step``; such steps are recorded and replayed on GPUs.
            ``extra_batches`` of such a method does not depend on what the network has learned in the task, so it may be asked ahead.
        whole_weights: it learns, replaces or reads the frozen weights themselves, or their gradients, beside ``add`` and ``merge``; refused
            where they lie over several workers.
        carry_optimizer: go on with the same optimizer state over task boundaries.

    All may depend on the config; a method sets them when it is built. The four from ``decision`` to ``mergeable`` are columns of the
    leaderboard.
    """

    needs: frozenset[Need] = frozenset({"clip", "lm"})
    decision: Literal["sample", "batch"] = "sample"
    task_id_at_test: bool = False
    extra_data: str = ""
    mergeable: bool = True
    jumps: str | None = None
    capturable: bool = False
    whole_weights: bool = False

    def __init__(self) -> None:
        self.carry_optimizer = False
        self.slots: list[Slot] = []
        self.added: dict[str, list[Factors]] = {}

    @abstractmethod
    def attach(self, learner: Learner, random: RandomStreams) -> None:
        """Once, on the frozen learner: choose slots, make what outlives a task."""

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        """Before anything is measured or stored: refuse steps per task that the method's schedules cannot use."""

    def steps(self, context: TaskContext) -> int | None:
        """Optimizer steps of the task: those of the budget, or 0 for a method that learns in ``begin_task`` and ``end_task`` alone.

        None: the method never touches the network, so every row of its matrix is row 0 and nothing is measured again. Asked after
        ``attach``, before anything is measured.
        """
        return context.steps

    def begin_task(self, context: TaskContext) -> None:
        """Before the first step: fresh branches, data statistics, schedules."""

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        """Batches beside the current one (memory, reference data), in proportion to it, from the method's own generator."""
        return []

    def before_step(self, index: int, lr: float) -> None:
        """On the host, before step ``index`` at learning rate ``lr``: fill the tensors the other hooks read."""

    def restarted(self) -> Sequence[nn.Parameter]:
        """Asked right after ``before_step``: parameters that it has put elsewhere, whose optimizer state is to begin anew."""
        return ()

    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> Tensor | None:
        """Before the network sees ``inputs``, in training and at test time: choose parts or their coefficients example by example.

        What ``loss`` needs of it is returned and found in the output of the same pass, as ``Output.asked``: other batches may pass the
        network before the loss is taken.
        ``inputs`` hold ``pixels`` (n, 3, h, w), or ``input_ids`` and ``attention_mask`` (n, tokens), in training all of the batch's
        (``answer_ids`` among them, which ``Learner.query`` leaves out). When answers are generated
        they also hold ``example`` (n,), which prompt each row belongs to: the first call of a prompt brings all its tokens, the
        later ones a single token, and rows that are answered leave sooner or later.
        """

    @property
    def chooses(self) -> bool:
        """Whether ``before_forward`` does anything; where it does not, answers are generated with branches merged into the weights."""
        return type(self).before_forward is not Method.before_forward

    def loss(self, step: Step) -> Tensor:
        """Scalar to minimise; the current batch's task loss unless a method adds to it."""
        return step.outputs[0].loss

    def backward(self, batches: list[Batch], run: RunPass) -> Tensor:
        """Gradients of one forward pass; by default all batches at once.

        A method that needs several passes (a gradient per earlier task, a second pass at moved weights) calls ``run`` as often as it
        likes; gradients add up in the parameters. Returns the task loss of ``batches[0]`` for the log.
        """
        return run(batches)

    def after_backward(self, step: Step) -> None:
        """Gradients are complete and unscaled, before clipping."""

    def after_step(self, step: Step) -> None:
        """After the optimizer: proximal operators, projections, averages."""

    def end_task(self, context: TaskContext) -> None:
        """After the last step: prune, merge or stack, fill memories. Evaluation follows."""

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        """Scores (n, k) by which images are judged; the largest decides. By default the network's own similarities.

        Args:
            output: of the images, without a loss; ``logits`` (n, k) and ``features`` (n, dim).
            classes: (k,) int64, the class of each column, counted over the whole stream in its order; for classes that share a
                prompt, the first of them.
        """
        return output.logits

    def parameter_groups(self) -> list[ParameterGroup]:
        """What the optimizer may change; by default all parameters of live branches and of ``modules`` that require gradients."""
        parts = [*(slot.parts for slot in self.slots), *self.modules().values()]
        parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
        return [ParameterGroup(parameters)] if parameters else []

    def modules(self) -> Mapping[str, nn.Module]:
        """Routers, keys, heads: what lives beside the branches. Stored and restored by the trainer, refused by exports.

        After ``attach`` they lie on the learner's device, and their number and shapes depend on the config and on how many tasks
        were begun alone: a resumed run asks for them after ``load_state``.
        """
        return {}

    def state(self) -> dict[str, Tensor]:
        """Tensors to carry over a task boundary beside branches, modules and merged factors, ready for safetensors."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state``; called after ``attach`` and after branches were restored.

        Puts what stands between A and B of branches back: their tensors are restored afterwards, their code cannot be.
        """

    def traits(self) -> dict[str, bool | str]:
        """What tables say of the method beside its scores."""
        return {
            "decision": self.decision,
            "task_id_at_test": self.task_id_at_test,
            "extra_data": self.extra_data,
            "mergeable": self.mergeable,
        }

    def facts(self) -> MethodFacts:
        """Counts for the record, asked for after ``end_task``."""
        return MethodFacts(trainable_parameters=0)

    def add(self, slot: Slot, factors: Factors) -> None:
        """Add an update to the frozen weight in fp32; any number per slot and task, repeated in this order by a resumed run."""
        slot.add_to_weight(factors)
        self.added.setdefault(slot.name, []).append(factors)

    def merge(self, slot: Slot, key: str, amount: float = 1.0) -> Factors:
        """Add ``amount`` times a branch's update to the frozen weight and remove the branch; returns what was added."""
        factors = merged_form(slot, key)
        factors = Factors(factors.a, factors.b * amount) if amount != 1.0 else factors
        self.add(slot, factors)
        del slot.parts[key]
        return factors


def count_parameters(groups: Iterable[ParameterGroup]) -> int:
    """Numbers in all groups."""
    return sum(parameter.numel() for group in groups for parameter in group.parameters)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors' elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
