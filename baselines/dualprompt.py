"""DualPrompt: one prompt for all tasks beside one expert prompt per task, which the closest of the tasks' keys chooses.

    row(x) = [general; expert_t; tokens of x],    t = the task at hand in training, argmax_t cos(q(x), k_t) at test time
    L = CE - (pull / n) sum over the batch's rows of cos(q(x), k_t)

General (g, width) is learned on through the stream; experts (e, width) and keys (width of q) of finished tasks stay as they are. q(x) is
what L2P asks: an image's embedding or the mean embedding of a prompt's tokens, of the untouched network. A task's key takes part in
choices once the task is finished, so nothing changes when the next one begins. No task id is needed at test time.

Source: arXiv 2204.04799 in its form Pro-T, where prompts are tokens: so ZinYY/TreeLoRA (commit c6a9b6d)
model/Dynamic_network/DualPrompt.py has it (g 2, e 3, both in front of the embeddings), whose code takes the expert of the true task and
matches no keys. Settings of ViTs: LAMDA-PILOT (commit 2647455) exps/dualprompt.json, g 5, e 5, pull 0.1, Adam at 1e-3, there as prefixes
of the keys and values of layers 0-1 and 2-4 (Pre-T), which is not built here. Prompts begin as in ``baselines.l2p``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.learner import Learner, Output
from suite.backbones.token_sites import is_continued, token_site, words
from suite.lowrank.layer import Part
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, count_parameters, tensor_bytes

PART = "prompts"


class DualPromptConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        general, expert: vectors of the prompt of all tasks and of each task's own.
        pull: weight of the cosine of the task's key.
        start: on images, vectors begin uniform between -start and start; for texts they are random words.
    """

    knows_later_tasks = False
    name: Literal["dualprompt"] = "dualprompt"
    general: Annotated[int, Field(ge=1, le=100)] = 5
    expert: Annotated[int, Field(ge=1, le=100)] = 5
    pull: Annotated[float, Field(ge=0)] = 0.1
    start: Annotated[float, Field(gt=0)] = 0.02

    def build(self) -> DualPrompt:
        return DualPrompt(self)


class TaskPrompts(Part):
    """General prompt (g, width), experts (e, width) and keys (query width) of the tasks begun, each a tensor of its own.

    Attributes:
        chosen: (n,) expert of each row of the coming forward pass.
    """

    def __init__(self, general: Tensor, *, behind: int) -> None:
        super().__init__()
        self.general = nn.Parameter(general)
        self.experts, self.keys = nn.ParameterList(), nn.ParameterList()
        self.behind = behind
        self.chosen = torch.empty(0, dtype=torch.int64)

    def closeness(self, query: Tensor, tasks: slice) -> Tensor:
        """(n, tasks) cosines of keys with queries (n, query width)."""
        keys = torch.stack([*self.keys][tasks])
        return F.normalize(query.float(), dim=-1) @ F.normalize(keys, dim=-1).T

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """(n, tokens, width) -> (n, g + e + tokens, width)."""
        general, expert = self.general.expand(len(y), -1, -1), torch.stack([*self.experts])[self.chosen]
        return torch.cat([y[:, : self.behind], general.to(y.dtype), expert.to(y.dtype), y[:, self.behind :]], dim=1)


class DualPrompt(Method):
    """Nothing is merged; general prompt, experts and keys are carried, and every answer needs the untouched network's query first."""

    capturable = True
    mergeable = False

    def __init__(self, config: DualPromptConfig) -> None:
        super().__init__()
        self.config = config
        self.finished = 0
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        self.learner = learner
        self.site, behind = token_site(learner, "dualprompt")
        general = words(learner, self.config.general, self.config.start, random["init"])
        self.prompts = TaskPrompts(general, behind=behind).to(learner.device)

    def begin_task(self, context: TaskContext) -> None:
        generator = context.random["init"]
        expert = words(self.learner, self.config.expert, self.config.start, generator)
        key = torch.empty(self.learner.query_width).uniform_(-1, 1, generator=generator)
        self._put(expert, key)

    def _put(self, expert: Tensor, key: Tensor) -> None:
        self.prompts.experts.append(nn.Parameter(expert.to(self.learner.device)))
        self.prompts.keys.append(nn.Parameter(key.to(self.learner.device)))
        self.learner.make_room(self.config.general + self.config.expert)
        self.site.parts[PART] = self.prompts

    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> Tensor | None:
        if not len(self.prompts.keys) or is_continued(inputs):
            return None
        self.prompts.enabled = training or self.finished > 0
        if not self.prompts.enabled:
            return None
        with self.learner.without(PART):
            query = self.learner.query(inputs)
        if training:
            self.prompts.chosen = torch.full_like(query[:, 0], len(self.prompts.keys) - 1, dtype=torch.int64)
        else:
            self.prompts.chosen = self.prompts.closeness(query, slice(self.finished)).argmax(dim=1)
        return query

    def loss(self, step: Step) -> Tensor:
        if not self.config.pull:
            return step.outputs[0].loss
        return step.outputs[0].loss - self.config.pull * self.agreement(step.outputs[0])

    def agreement(self, output: Output) -> Tensor:
        """Mean cosine of a pass's rows with the newest key; a scalar with gradients for that key."""
        assert output.asked is not None
        return self.prompts.closeness(output.asked, slice(-1, None)).mean()

    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        self._finish(context.index + 1)
        carried = tensor_bytes([*self.prompts.parameters(), *self.state().values()])
        self._facts = MethodFacts(trainable, carried_bytes=carried)

    def _finish(self, tasks: int) -> None:
        self.finished = tasks
        self.prompts.experts.requires_grad_(False)
        self.prompts.keys.requires_grad_(False)

    def modules(self) -> Mapping[str, TaskPrompts]:
        return {PART: self.prompts}

    def state(self) -> dict[str, Tensor]:
        return {"finished": torch.tensor(self.finished)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        width = self.prompts.general.shape[1]
        for _ in range(int(state["finished"])):
            self._put(torch.zeros(self.config.expert, width), torch.zeros(self.learner.query_width))
        self._finish(int(state["finished"]))

    def facts(self) -> MethodFacts:
        return self._facts
