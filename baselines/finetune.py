"""Sequential full fine-tuning: every weight but the logit scale is trained task after task, nothing protects earlier tasks.

The lower bound of retention (Continual-FT of ZSCL, SeqFT of TRACE). Use a far smaller learning rate than for low-rank methods.
Source: Thunderbeee/ZSCL mtil/src/models/finetune.py; BeyonderXX/TRACE model/base_model.py.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from suite.backbones.learner import Learner
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, ParameterGroup, TaskContext, count_parameters

FROZEN = ("logit_scale",)


class FinetuneConfig(MethodConfig):
    """Has no hyperparameters of its own; budget and learning rate are the run's."""

    knows_later_tasks = False
    name: Literal["finetune"] = "finetune"

    def build(self) -> Finetune:
        return Finetune()


class Finetune(Method):
    """Owns the network's parameters instead of slots; a checkpoint holds them all."""

    capturable = True
    whole_weights = True

    def __init__(self) -> None:
        super().__init__()
        self.parameters: dict[str, nn.Parameter] = {}

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        named = learner.network.named_parameters()
        self.parameters = {name: parameter for name, parameter in named if name not in FROZEN}

    def begin_task(self, context: TaskContext) -> None:
        self._allow_gradients(True)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.parameters.values()))]

    def end_task(self, context: TaskContext) -> None:
        self._allow_gradients(False)

    def _allow_gradients(self, allowed: bool) -> None:
        for parameter in self.parameters.values():
            parameter.requires_grad_(allowed)
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        return {f"weight/{name}": parameter.detach() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(state[f"weight/{name}"])

    def facts(self) -> MethodFacts:
        return MethodFacts(trainable_parameters=count_parameters(self.parameter_groups()))
