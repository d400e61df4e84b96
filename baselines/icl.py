"""In-context learning: nothing is learned; solved training rows of a task stand in front of each of its prompts.

    prompt' = instruction, notice, (body_i, answer_i) for ``demonstrations`` training rows i, body

A task's rows are kept once it was met, so tasks that are still to come are answered as they are. Which rows is drawn per task, no answer
more often than an equal share allows, and only rows that leave half of the window to the prompt (``suite.data.demonstrations``). At test
time the method is told which task a prompt belongs to.

Source: arXiv 2310.06762, BeyonderXX/TRACE (commit 462e39f) inference/ICL.py: six demonstrations. There they are rows of the test set;
here of the training set alone, so its numbers are not reproduced.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.learner import Learner
from suite.errors import ConfigError
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Need, TaskContext, tensor_bytes


class IclConfig(MethodConfig):
    """Hyperparameters: solved rows in front of every prompt."""

    knows_later_tasks = False
    name: Literal["icl"] = "icl"
    demonstrations: Annotated[int, Field(ge=1, le=100)] = 6

    def build(self) -> Icl:
        return Icl(self)


class Icl(Method):
    """Takes no steps; after each task its demonstrations are put in front.

    Attributes:
        rows: (demonstrations, 2) int64, task and training row.
        tasks: those that have been met.
    """

    needs: frozenset[Need] = frozenset({"lm"})
    task_id_at_test = True
    extra_data = "stored examples"
    mergeable = False

    def __init__(self, config: IclConfig) -> None:
        super().__init__()
        self.config = config
        self.rows = torch.empty(0, 2, dtype=torch.int64)
        self.tasks = 0

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        if not isinstance(learner, CausalLearner):
            raise ConfigError("icl: this backbone cannot put demonstrations in front of prompts; use causal-lm or mini-lm.")
        if learner.config.demonstrations:
            raise ConfigError(
                f"icl: puts demonstrations in front itself, and backbone.demonstrations is {learner.config.demonstrations}; set that to 0."
            )
        self.learner = learner
        count, tasks = self.config.demonstrations, range(len(learner.stream))
        learner.demonstrate(count, tasks)
        fits = any(learner.texts.demonstration_rows(task) for task in tasks)  # the record notes how many fit, task by task
        learner.demonstrate(0, tasks)
        if not fits:
            raise ConfigError(
                f"icl: none of {count} demonstrations fits the window of {learner.texts.encoder.prompt_window} tokens for any task; "
                "set a smaller method.demonstrations, or a larger backbone.max_prompt_tokens."
            )

    def steps(self, context: TaskContext) -> int:
        return 0

    def end_task(self, context: TaskContext) -> None:
        self._show(context.index + 1)
        found = self.learner.texts.demonstration_rows(context.index)
        new = torch.tensor([[context.index, row] for row in found], dtype=torch.int64).reshape(-1, 2)
        self.rows = torch.cat([self.rows, new])

    def state(self) -> dict[str, Tensor]:
        return {"rows": self.rows, "tasks": torch.tensor(self.tasks)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.rows = state["rows"]
        self._show(int(state["tasks"]))

    def _show(self, tasks: int) -> None:
        self.learner.demonstrate(self.config.demonstrations, range(tasks))
        self.tasks = tasks

    def facts(self) -> MethodFacts:
        return MethodFacts(0, carried_bytes=tensor_bytes(self.state().values()))
