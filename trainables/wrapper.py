"""Methods around methods: a memory, a distillation term or an average of weights, over any ``inner`` method.

A wrapper hands every hook on and adds its own part before or behind. What the inner method sees is a run without the wrapper: its
own batches, its own outputs, its own state. So wrappers go around each other, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator
from torch import Tensor, nn

from suite.backbones.learner import Batch, Learner, Output
from suite.errors import ConfigError
from suite.method_titles import INNER, USUAL_INNER
from suite.parts import MethodConfig, named_fields, validated_part
from suite.randomness import RandomStreams
from suite.registry import METHODS
from trainables.faults import built_method, checked_batches, checked_facts, checked_loss
from trainables.method import Method, MethodFacts, Need, ParameterGroup, RunPass, Step, TaskContext

KINDS: frozenset[Need] = frozenset({"clip", "lm"})


class WrapperConfig(MethodConfig):
    """Base of the configs of wrappers.

    Attributes:
        inner: any method with its fields, ``{name: codyra, rank: 8}`` or its name alone; fields without a name are those of ``lora``.
    """

    inner: SerializeAsAny[MethodConfig] = Field(default={"name": USUAL_INNER}, validate_default=True)

    @field_validator(INNER, mode="before")
    @classmethod
    def _named_method(cls, value: Any, info: ValidationInfo) -> Any:
        where = ".".join([*((info.context or {}).get("where", ())), INNER])
        if isinstance(value, MethodConfig):
            return value
        return validated_part(METHODS, {"name": USUAL_INNER, **named_fields(value, where)}, where)

    def beginning(self, learned: Sequence[str]) -> dict[str, Any]:
        return {**super().beginning(learned), INNER: self.inner.beginning(learned)}

    @classmethod
    def has_ranks(cls) -> bool:
        return METHODS[USUAL_INNER].has_ranks()


class Wrapper(Method):
    """Hands every hook on to ``inner``. Subclasses extend hooks (and call ``super()``), and say in ``term`` what they add to the loss.

    Attributes:
        kinds: backbones that the wrapper's own part can serve, and ``references`` where it needs them; ``needs`` is what both can.
        other_weights: the wrapper speaks of the network with other weights (a mean, a teacher), so that all that ``inner`` learns has
            to end in weights: it has to be ``mergeable``.
    """

    kinds: frozenset[Need] = KINDS
    other_weights: bool = False

    def __init__(self, config: WrapperConfig) -> None:
        super().__init__()
        self.inner = built_method(config.inner)
        self._names = f"'{config.name}'", f"'{config.inner.name}'"
        self.needs = self._needs()
        if self.other_weights and not self.inner.mergeable:
            raise ConfigError(
                "method: {} compares or joins networks by their weights, and what {} learns is not in these alone; "
                "choose an inner method that merges.".format(*self._names)
            )
        self.decision = "batch" if "batch" in (self.decision, self.inner.decision) else "sample"
        self.task_id_at_test = self.task_id_at_test or self.inner.task_id_at_test
        self.extra_data = ", ".join(dict.fromkeys(filter(None, (self.extra_data, self.inner.extra_data))))
        self.mergeable = self.mergeable and self.inner.mergeable
        self.jumps = self.jumps or self.inner.jumps
        self.capturable = self.capturable and self.inner.capturable
        self.carry_optimizer = self.inner.carry_optimizer
        self.whole_weights = self.whole_weights or self.inner.whole_weights
        self._own = 0  # own batches of a step, the last ones

    def _needs(self) -> frozenset[Need]:
        both = self.kinds & self.inner.needs & KINDS
        if not both:
            raise ConfigError(
                "method: {} and its inner method {} serve no backbone together; choose another inner method.".format(
                    *self._names
                )
            )
        return both | (self.kinds | self.inner.needs) - KINDS

    @property
    def innermost(self) -> Method:
        """The method that is no wrapper."""
        return self.inner.innermost if isinstance(self.inner, Wrapper) else self.inner

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.inner.attach(learner, random)
        self.slots, self.added = self.inner.slots, self.inner.added
        self.capturable = self.capturable and self.inner.capturable  # which may depend on the kind of backbone

    def check_budget(self, tasks: Sequence[str], steps: Sequence[int]) -> None:
        self.inner.check_budget(tasks, steps)

    def steps(self, context: TaskContext) -> int | None:
        """Refuses a method without steps: all that wrappers do, they do to steps and what these have learned."""
        found = self.inner.steps(context)
        if not found:
            raise ConfigError(
                "method: {} has nothing to do around {}, which takes no steps; choose another inner method.".format(
                    *self._names
                )
            )
        return found

    def begin_task(self, context: TaskContext) -> None:
        self.inner.begin_task(context)

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        """Batches for ``term``, as many in every step of a task."""
        return []

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        inner = checked_batches(self.inner, self.inner.extra_batches(context, current))
        own = self.own_batches(context, current)
        self._own = len(own)
        return [*inner, *own]

    def before_step(self, index: int, lr: float) -> None:
        self.inner.before_step(index, lr)

    def restarted(self) -> Sequence[nn.Parameter]:
        return self.inner.restarted()

    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> Tensor | None:
        return self.inner.before_forward(inputs, training=training)

    @property
    def chooses(self) -> bool:
        return type(self).before_forward is not Wrapper.before_forward or self.inner.chooses

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        """What is added to the inner method's loss, a scalar; ``step`` is as the inner method sees it, ``own`` are ``own_batches``."""
        return None

    def loss(self, step: Step) -> Tensor:
        inner, own = self._split(step)
        total, term = checked_loss(self.inner, self.inner.loss(inner)), self.term(inner, own)
        return total if term is None else total + term

    def backward(self, batches: list[Batch], run: RunPass) -> Tensor:
        """The wrapper's own batches are part of every pass that the inner method makes."""
        if not self._own:
            return self.inner.backward(batches, run)
        inner, own = batches[: -self._own], batches[-self._own :]
        return self.inner.backward(inner, lambda some: run([*some, *own]))

    def after_backward(self, step: Step) -> None:
        self.inner.after_backward(self._split(step)[0])

    def after_step(self, step: Step) -> None:
        self.inner.after_step(self._split(step)[0])

    def _split(self, step: Step) -> tuple[Step, list[tuple[Batch, Output]]]:
        """The step without the wrapper's batches, and these with their outputs."""
        if not self._own:
            return step, []
        own = list(zip(step.batches[-self._own :], step.outputs[-self._own :], strict=True))
        return replace(step, batches=step.batches[: -self._own], outputs=step.outputs[: -self._own]), own

    def end_task(self, context: TaskContext) -> None:
        self.inner.end_task(context)

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        return self.inner.answer(output, classes)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.inner.parameter_groups()

    def modules(self) -> Mapping[str, nn.Module]:
        return self.inner.modules()

    def state(self) -> dict[str, Tensor]:
        """The inner method's under ``inner/``; a subclass adds its own beside."""
        return {f"{INNER}/{key}": value for key, value in self.inner.state().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        beginning = f"{INNER}/"
        self.inner.load_state({key.removeprefix(beginning): value for key, value in state.items() if key.startswith(beginning)})

    def own_bytes(self) -> int:
        """Bytes that the wrapper's own part of ``state`` carries over a task boundary."""
        return 0

    def facts(self) -> MethodFacts:
        found = checked_facts(self.inner)
        return replace(found, carried_bytes=found.carried_bytes + self.own_bytes())
