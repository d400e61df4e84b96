"""L2P: a pool of prompts, of which every example gets those whose keys are closest to it; the network itself stays as it is.

    chosen(x) = the ``top`` prompts m of largest cos(q(x), k_m),    q(x) from the network without prompts
    L = CE - (pull / n) sum over the batch's rows and their chosen prompts of cos(q(x), k_m)

Prompts P (pool, length, width) stand behind the class token of a CLIP's images, in front of a language model's prompt; keys k (pool, width
of q). q is the image's embedding, or the mean embedding of the prompt's tokens, padding and answer left out. Choices are made row by row.

Source: arXiv 2112.08654; LAMDA-PILOT (commit 2647455) backbone/prompt.py, exps/l2p.json: pool 10 of 5 vectors, 5 chosen, pull 0.1, all
uniform in +-1, Adam at 1.9e-3 (multiply ``training.lr``), 5 epochs, batch 16. On TRACE (commit 462e39f, model/Dynamic_network/L2P.py):
10 of 5, 3 chosen, pull 0.5, vectors begin as random words. Otherwise than there: keys are learned (TRACE keeps the words' means), the pull
moves keys alone, prompts are there at test time too, and a batch has no vote. On a CLIP the class token is pooled, as always there, not the
prompts, and these begin within ``start`` = 0.02: blocks begin with a norm, so at 1 the rates of adapters would hardly turn them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from suite.backbones.learner import Learner, Output
from suite.backbones.token_sites import is_continued, token_site, words
from suite.lowrank.prompts import PromptPool
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Step, TaskContext, count_parameters, tensor_bytes

PART = "prompts"


class L2PConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        pool, length, top: prompts there are, vectors of each, prompts that an example gets.
        pull: weight of the cosines of the chosen keys.
        start: on images, vectors begin uniform between -start and start (1 in the release); for texts they are random words.
    """

    knows_later_tasks = False
    name: Literal["l2p"] = "l2p"
    pool: Annotated[int, Field(ge=1, le=1000)] = 10
    length: Annotated[int, Field(ge=1, le=100)] = 5
    top: Annotated[int, Field(ge=1)] = 5
    pull: Annotated[float, Field(ge=0)] = 0.1
    start: Annotated[float, Field(gt=0)] = 0.02

    @model_validator(mode="after")
    def _enough(self) -> L2PConfig:
        if self.top > self.pool:
            raise ValueError(f"top is {self.top}, and the pool has {self.pool} prompts; use at most as many")
        return self

    def build(self) -> L2P:
        return L2P(self)


class L2P(Method):
    """Nothing is merged: the pool is carried, and every answer needs the untouched network's query first."""

    capturable = True
    mergeable = False

    def __init__(self, config: L2PConfig) -> None:
        super().__init__()
        self.config = config
        self.mergeable = False
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        config, generator = self.config, random["init"]
        self.learner = learner
        self.site, behind = token_site(learner, "l2p")
        prompts = words(learner, config.pool * config.length, config.start, generator).view(config.pool, config.length, -1)
        keys = torch.empty(config.pool, learner.query_width).uniform_(-1, 1, generator=generator)
        self.pool = PromptPool(prompts, keys, behind=behind).to(learner.device)

    def begin_task(self, context: TaskContext) -> None:
        self._put()

    def _put(self) -> None:
        self.learner.make_room(self.config.top * self.config.length)
        self.site.parts[PART] = self.pool

    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> Tensor | None:
        if PART not in self.site.parts or is_continued(inputs):
            return None
        with self.learner.without(PART):
            query = self.learner.query(inputs)
        self.pool.chosen = self.pool.closeness(query).topk(self.config.top, dim=1).indices
        return query

    def loss(self, step: Step) -> Tensor:
        if not self.config.pull:
            return step.outputs[0].loss
        return step.outputs[0].loss - self.config.pull * self.agreement(step.outputs[0])

    def agreement(self, output: Output) -> Tensor:
        """Mean over a pass's rows of their cosines with the chosen keys, summed; a scalar with gradients for keys."""
        assert output.asked is not None
        return self.pool.closeness(output.asked).topk(self.config.top, dim=1).values.sum(dim=1).mean()

    def end_task(self, context: TaskContext) -> None:
        carried = tensor_bytes(self.pool.parameters())
        self._facts = MethodFacts(count_parameters(self.parameter_groups()), carried_bytes=carried)

    def modules(self) -> Mapping[str, PromptPool]:
        return {PART: self.pool}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._put()

    def facts(self) -> MethodFacts:
        return self._facts
