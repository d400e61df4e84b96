"""The training step as everybody writes it: the reference that fast steps are compared and timed with."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.parts import TrainingConfig
from trainables.captured_step import Part
from trainables.method import Method, Step, TaskContext
from trainables.precision import autocast
from trainables.worker_group import WorkerGroup


class PlainStep:
    """One kernel after the other, torch's own AdamW, rates and gradients handled on the host; see ``TaskStep``."""

    eager_because: str | None = "it is the plain reference"

    def __init__(self, context: TaskContext, method: Method, training: TrainingConfig, group: WorkerGroup) -> None:
        self.context = context
        self.method = method
        self.training = training
        self.group = group
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [{"params": found.parameters, "lr_multiplier": found.lr_multiplier} for found in method.parameter_groups()],
            lr=training.lr,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            weight_decay=training.weight_decay,
        )

    def __call__(self, index: int, lr: float, parts: list[Part]) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_multiplier"]
        self.method.before_step(index, lr)
        self.optimizer.zero_grad(set_to_none=True)
        learner = self.context.learner
        total = torch.zeros((), device=learner.device)
        for batches, weight in parts:
            with autocast(learner.device, self.training.precision):
                outputs = [learner.forward(batch) for batch in batches]
                step = Step(index, self.context.steps, lr, batches, outputs)
                loss = self.method.loss(step) * weight
            loss.backward()
            total += outputs[0].loss.detach() * weight
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.group.add_gradients(parameters)
        total = self.group.add(total)
        self.method.after_backward(step)
        if self.training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.training.clip_norm)
        self.optimizer.step()
        self.method.after_step(step)
        return total
