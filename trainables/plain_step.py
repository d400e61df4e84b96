"""The training step as everybody writes it: the reference that fast steps are compared and timed with."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.parts import TrainingConfig
from trainables.method import Method, TaskContext
from trainables.optimizers import begin_anew, plain_optimizer
from trainables.passes import Pass, run_passes
from trainables.worker_group import WorkerGroup


class PlainStep:
    """One kernel after the other, torch's own optimizer, rates and gradients handled on the host; see ``TaskStep``."""

    eager_because: str | None = "it is the plain reference"
    replayed = 0

    def __init__(self, context: TaskContext, method: Method, training: TrainingConfig, group: WorkerGroup) -> None:
        self.context = context
        self.method = method
        self.training = training
        self.group = group
        self.optimizer = plain_optimizer(method.parameter_groups(), training)

    def __call__(self, index: int, lr: float, passes: list[Pass]) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_multiplier"]
        self.method.before_step(index, lr)
        begin_anew(self.optimizer, self.method.restarted())
        self.optimizer.zero_grad(set_to_none=True)
        total, step = run_passes(passes, self.method, self.context, self.training.precision, index=index, lr=lr)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.group.add_gradients(parameters)
        total = self.group.add(total)
        self.method.after_backward(step)
        if self.training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.training.clip_norm)
        self.optimizer.step()
        self.method.after_step(step)
        return total
