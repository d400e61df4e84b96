"""WiSE-FT: after a task the network stands between what it has become and a reference, on the straight line of weights.

    W <- (1 - alpha) W_ref + alpha W,      W_ref = the weights before the task, or the pretrained ones

Towards the previous weights that is the task's update times alpha; towards the pretrained ones all earlier updates shrink again, so that
task i has the weight alpha^(t - i + 1) after task t. Neither needs a copy of the weights: both are factors.

Source: arXiv 2109.01903; mlfoundations/wise-ft (commit 58b7a4b) src/wise_ft.py, whose README tries alpha 0 to 1 in steps of 0.1; in streams
Thunderbeee/ZSCL (commit b96e714) mtil/scripts/WiSE_finetune.sh: alpha 0.8, reference the model before the task, around full fine-tuning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from baselines.weight_shift import Shift, TaskMove, joined
from suite.lowrank.layer import Factors, stacked
from suite.parts import MethodConfig
from trainables.method import TaskContext, tensor_bytes
from trainables.wrapper import Wrapper, WrapperConfig


class WiseFtConfig(WrapperConfig):
    """Hyperparameters.

    Attributes:
        inner: the method that learns, by its name or with its fields; ``lora`` by itself.
        alpha: share of what the task has learned; 1 is the inner method, 0 the reference.
        towards: ``previous`` = the network before the task, ``zero-shot`` = the pretrained one.
    """

    knows_later_tasks = False
    name: Literal["wise-ft"] = "wise-ft"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.8
    towards: Literal["previous", "zero-shot"] = "previous"

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        return [(self.model_copy(update={"alpha": 1.0}), self.inner.model_dump())]

    def build(self) -> WiseFt:
        return WiseFt(self)


class WiseFt(Wrapper):
    """Towards zero-shot the whole shift since the pretrained weights is carried, as factors and tensors.

    Attributes:
        shift: slot -> factors of W - W_0, live parts included.
        pretrained: values of what has no factors before the first task; empty where everything has.
    """

    capturable = True
    other_weights = True

    def __init__(self, config: WiseFtConfig) -> None:
        super().__init__(config)
        self.config = config
        self.shift: Shift = {}
        self.pretrained: list[Tensor] = []
        self.move: TaskMove | None = None

    @property
    def shortens(self) -> bool:
        return self.config.alpha < 1

    def begin_task(self, context: TaskContext) -> None:
        self.move = TaskMove(self.inner, context.learner.network) if self.shortens else None
        super().begin_task(context)
        if self.move is not None:
            self.move.begun()

    def end_task(self, context: TaskContext) -> None:
        if self.move is None:
            super().end_task(context)
            return
        alpha, whole_way = self.config.alpha, self.config.towards == "zero-shot"
        if whole_way and not self.pretrained:
            self.pretrained = self.move.tensors_before
        anchors = self.pretrained if whole_way else self.move.tensors_before
        self.move.write(anchor.to(now.device).lerp(now, alpha) for anchor, now in zip(anchors, self.move.tensors, strict=True))
        whole, present = self.move.end(lambda: super(WiseFt, self).end_task(context))
        wanted = joined((whole, alpha), (present, -1.0), *([(self.shift, alpha - 1)] if whole_way else []))
        for name, found in wanted.items():
            for factors in found:
                self.add(context.learner.slots[name], factors)
        if whole_way:
            moved = joined((self.shift, alpha), (whole, alpha))
            self.shift = {name: [stacked(found)] for name, found in moved.items()}

    def state(self) -> dict[str, Tensor]:
        factors = {
            f"shift/{name}/{part}": getattr(one, part) for name, found in self.shift.items() for one in found for part in "ab"
        }
        return {**super().state(), **factors, **{f"pretrained/{n}": value for n, value in enumerate(self.pretrained)}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        devices = {slot.name: slot.weight.device for slot in self.slots}
        names = sorted({key.split("/")[1] for key in state if key.startswith("shift/")})
        self.shift = {name: [Factors(*(state[f"shift/{name}/{part}"].to(devices[name]) for part in "ab"))] for name in names}
        count = sum(key.startswith("pretrained/") for key in state)
        self.pretrained = [state[f"pretrained/{n}"] for n in range(count)]

    def own_bytes(self) -> int:
        return tensor_bytes([*(part for found in self.shift.values() for one in found for part in one), *self.pretrained])
