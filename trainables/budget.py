"""How many steps a task gets, and the learning rate of each."""

from __future__ import annotations

import math

from suite.benchmarks.stream import Task, TextTask
from suite.parts import TrainingConfig


def step_count(training: TrainingConfig, task: Task) -> int:
    """Optimizer steps of a task: as set, or the epochs that are set, or the task's own, in whole batches."""
    own = training.of_task(task.name)
    if own.steps is not None:
        return own.steps
    of_task = task.epochs if isinstance(task, TextTask) else 1
    epochs = own.epochs if own.epochs is not None else of_task
    return max(1, math.ceil(epochs * math.ceil(len(task.train) / own.batch_size)))


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """Rate of step 0..steps-1: linear warm-up, then 0.5 (1 + cos(pi s / steps)) lr, or constant."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    span = max(1, steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * (step - config.warmup_steps) / span)) * config.lr
