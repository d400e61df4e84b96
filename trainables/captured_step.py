"""One optimizer step as a function of static inputs: run eagerly anywhere, recorded as a CUDA graph and replayed where possible.

What changes from step to step lies in tensors on the device (batches, learning rates, a method's thresholds) that the host fills
before the step without waiting. So the same function, eager or replayed, makes the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from suite.backbones.learner import Batch
from suite.parts import TrainingConfig
from trainables.method import Method, TaskContext
from trainables.optimizers import DeviceOptimizer, begin_anew, device_optimizer
from trainables.passes import Pass, run_passes
from trainables.worker_group import WorkerGroup

EAGER_STEPS = 3  # of a run before anything is recorded: the libraries make their workspaces in them
MOST_GRAPHS = 12  # of a task; steps of further signatures stay eager

log = logging.getLogger(__name__)


class StepRunner(Protocol):
    """All steps of one task: ``TaskStep`` or its plain reference.

    Attributes:
        eager_because: why steps are not recorded; None where they are.
        replayed: steps so far that were replays of a recorded one.
        optimizer: its state is what may be carried to the next task.
    """

    eager_because: str | None
    replayed: int

    @property
    def optimizer(self) -> torch.optim.Optimizer: ...

    def __call__(self, index: int, lr: float, passes: list[Pass]) -> Tensor:
        """Step ``index`` at learning rate ``lr``; its loss, a scalar on the device that the next call may overwrite."""


@runtime_checkable
class StaticLearner(Protocol):
    """A learner whose forward pass of a batch launches the same kernels for every batch of one signature."""

    def signature(self, batch: Batch) -> Hashable:
        """All that decides shapes and label space of a forward pass."""


class Replayable(Protocol):
    """A recorded piece of work, such as ``torch.cuda.CUDAGraph``."""

    def replay(self) -> None:
        """Run it again on what its tensors hold now."""


@dataclass
class WarmUp:
    """What a run's eager steps have made ready, over all its tasks: workspaces, and the kernels of each signature."""

    steps: int = 0
    signatures: set[Hashable] = field(default_factory=set)

    def note(self, signature: Hashable) -> None:
        """One more step was taken eagerly."""
        self.steps += 1
        self.signatures.add(signature)

    def suffices(self, signature: Hashable) -> bool:
        """Whether a step of this signature finds everything ready."""
        return self.steps >= EAGER_STEPS and signature in self.signatures


@dataclass
class _Recorded:
    graph: Replayable
    passes: list[Pass]
    loss: Tensor

    def replay(self, passes: Sequence[Pass]) -> Tensor:
        for own, given in zip(self.passes, passes, strict=True):
            for static, batch in zip(own.batches, given.batches, strict=True):
                for name, value in batch.inputs.items():
                    static.inputs[name].copy_(value, non_blocking=True)
        self.graph.replay()
        return self.loss


class TaskStep:
    """Steps of one task, recorded where that is possible; see ``StepRunner``.

    Its first step is taken eagerly, since optimizers and methods make their state in it. After that a signature is recorded once the
    run, in whichever task, has taken a step of it eagerly. Graphs themselves end with their task: they hold its branches, its optimizer
    state and all that the method decided on the host.
    """

    optimizer: DeviceOptimizer

    def __init__(
        self,
        context: TaskContext,
        method: Method,
        training: TrainingConfig,
        group: WorkerGroup,
        warm_up: WarmUp | None = None,
    ) -> None:
        self.context = context
        self.learner = context.learner
        self.method = method
        self.training = training
        self.group = group
        self.optimizer = device_optimizer(method.parameter_groups(), training, self.learner.device)
        self.eager_because = self._obstacle()
        if self.eager_because and self.learner.device.type == "cuda":
            self._tell_why()
        self.replayed = 0
        self._warm_up = warm_up or WarmUp()
        self._has_begun = False
        self._recorded: dict[Hashable, _Recorded] = {}
        self._pool: Any = None

    def __call__(self, index: int, lr: float, passes: list[Pass]) -> Tensor:
        self.optimizer.set_rate(lr)
        self.method.before_step(index, lr)
        begin_anew(self.optimizer, self.method.restarted())

        def work(passes: list[Pass]) -> Tensor:
            return self._work(index, lr, passes)

        loss = work(passes) if self.eager_because else self._recorded_work(passes, work)
        increment_version(
            self.optimizer.parameters
        )  # neither torch's fused kernel nor a replay tells that weights have changed
        return loss

    def _work(self, index: int, lr: float, passes: list[Pass]) -> Tensor:
        """Forward, losses, backward, optimizer and the method's hooks; reads nothing back."""
        self.optimizer.clear()
        total, step = run_passes(passes, self.method, self.context, self.training.precision, index=index, lr=lr)
        self.group.add_gradients(self.optimizer.parameters)
        total = self.group.add(total)
        self.method.after_backward(step)
        if self.training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.optimizer.parameters, self.training.clip_norm)
        self.optimizer.advance()
        self.method.after_step(step)
        return total

    def _obstacle(self) -> str | None:
        if self.learner.device.type != "cuda":
            return f"a {self.learner.device.type} records no CUDA graphs"
        if self.group.size > 1:
            return "several workers share the step"
        if not self.method.capturable:
            return f"the hooks of {type(self.method).__name__} need the host"
        if not isinstance(self.learner, StaticLearner):
            return f"the forward pass of {type(self.learner).__name__} needs the host"
        return None

    def _recorded_work(self, passes: list[Pass], work: Callable[[list[Pass]], Tensor]) -> Tensor:
        assert isinstance(self.learner, StaticLearner)
        key = tuple((tuple(self.learner.signature(batch) for batch in one.batches), one.weight) for one in passes)
        if key not in self._recorded:
            is_ready = self._has_begun and self._warm_up.suffices(key) and len(self._recorded) < MOST_GRAPHS
            if not is_ready:
                return self._eager_work(key, passes, work)
            try:
                recorded = self._record(passes, work)
            except RuntimeError as error:
                cause = error.__context__ or error  # ending a broken recording raises an error of its own
                self.eager_because = f"recording failed: {str(cause).splitlines()[0]}"
                self._recorded.clear()  # their memory is wanted where the card was too small
                self._tell_why()
                return work(passes)
            if recorded is None:
                return self._eager_work(key, passes, work)
            self._recorded[key] = recorded
        self.replayed += 1
        return self._recorded[key].replay(passes)

    def _eager_work(self, key: Hashable, passes: list[Pass], work: Callable[[list[Pass]], Tensor]) -> Tensor:
        self._has_begun = True
        self._warm_up.note(key)
        return work(passes)

    def _tell_why(self) -> None:
        log.warning("task '%s': steps run one kernel at a time, %s", self.context.task.name, self.eager_because)

    def _record(self, passes: list[Pass], work: Callable[[list[Pass]], Tensor]) -> _Recorded | None:
        """The step's kernels on copies of its batches; nothing runs. Gradients of the graph live in its own memory.

        None where the step made optimizer state for a parameter that had none: every replay would make it anew.
        """
        known = set(self.optimizer.state)
        static = [Pass([_copied(batch) for batch in one.batches], one.weight) for one in passes]
        self.optimizer.clear()
        graph, loss = self._capture(lambda: work(static))
        if made := self.optimizer.state.keys() - known:
            for parameter in made:
                del self.optimizer.state[parameter]
            return None
        return _Recorded(graph, static, loss)

    def _capture(self, work: Callable[[], Tensor]) -> tuple[Replayable, Tensor]:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self.learner.device)
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            loss = work()
        return graph, loss


def _copied(batch: Batch) -> Batch:
    return replace(batch, inputs={name: value.clone() for name, value in batch.inputs.items()})
