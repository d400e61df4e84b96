"""MoE-Adapters on CLIP: experts beside every MLP, one router per task, and a selector that finds an image's task or leaves it to zero-shot.

The experts and routers are ``suite.lowrank.experts``. After a task the ``frozen`` experts that each layer used most learn no more. At
test time the selector gives every image a task, or none; its routers then serve the image and the class prompts that it is compared
with. ``baselines.task_selector`` holds one autoencoder per task over the untouched network's image embeddings.

Source: arXiv 2403.11549; JiazuoYu/MoE-Adapters4CL (commit 4572d97) mtil/clip/model.py, clip/adapter.py, src/models/finetune.py,
AutoEncoder.py, evaluation.py. Published: 22 experts of width 64, top 2, dropout 0.1, scale 0.1, 2 frozen; AdamW, label smoothing 0.2, 1000
steps of 64, rates from 1e-4 to 1e-2 by data set (``training.per_task``).
Reconstruction: the release's autoencoders (code of 100) read AlexNet's features and are trained; here they are linear ones in closed
form over CLIP's own embeddings, each with a bound of its own in place of one for all tasks (0.0655). Experts and routers see the MLP's
normalised input, there the residual stream. Text routers are vectors, since there the token that routes is the same for all prompts. The
load-balancing loss is computed there and never added, so it is left out. ``routing=batch`` is the release's vote:
one task for all images that are read together, which here may belong to two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from baselines.task_selector import Selector
from suite.backbones.learner import Learner, Output
from suite.lowrank.experts import Experts
from suite.parts import MethodConfig
from suite.randomness import RandomStreams
from trainables.method import Method, MethodFacts, Need, TaskContext, count_parameters, tensor_bytes

PART = "experts"


class MoEAdaptersConfig(MethodConfig):
    """Hyperparameters.

    Attributes:
        experts, width, top, scale, dropout: of the mixture at each MLP.
        frozen: experts of each MLP that stop learning after a task, those it used most.
        encoder: whose MLPs get experts.
        code: directions of a task's autoencoder, at most a quarter of the features and of the images.
        quantile: share of a task's own images, left out of the fit, whose error lies below b_t.
        routing: ``sample`` = every image has its own task, ``batch`` = one for all images that are read together (release).
    """

    name: Literal["moe-adapters"] = "moe-adapters"
    experts: Annotated[int, Field(ge=1, le=256)] = 22
    width: Annotated[int, Field(ge=1, le=4096)] = 64
    top: Annotated[int, Field(ge=1)] = 2
    scale: Annotated[float, Field(gt=0)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    frozen: Annotated[int, Field(ge=0)] = 2
    encoder: Literal["all", "vision"] = "all"
    code: Annotated[int, Field(ge=1)] = 100
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.95
    routing: Literal["sample", "batch"] = "sample"

    @model_validator(mode="after")
    def _enough(self) -> MoEAdaptersConfig:
        for field in ("top", "frozen"):
            if (wanted := getattr(self, field)) > self.experts:
                raise ValueError(f"{field} is {wanted}, and there are {self.experts} experts; use at most as many")
        return self

    def build(self) -> MoEAdapters:
        return MoEAdapters(self)


class MoEAdapters(Method):
    """Experts on the sites ``<encoder>.<layer>.mlp``; nothing is merged."""

    needs: frozenset[Need] = frozenset({"clip"})

    def __init__(self, config: MoEAdaptersConfig) -> None:
        super().__init__()
        self.config = config
        self.decision = config.routing
        self.mergeable = False
        self.parts: dict[str, Experts] = {}
        self._texts: dict[int, Tensor] = {}  # class embeddings under each task's routers, for the evaluation at hand
        self._chosen: list[Tensor] = []  # tasks of the images that were read and not judged yet
        self._facts = MethodFacts(trainable_parameters=0)

    def attach(self, learner: Learner, random: RandomStreams) -> None:
        config = self.config
        self.learner = learner
        self.selector = Selector(learner.query_width, learner.device)
        for name, site in learner.sites.items():
            encoder, kind = name.split(".")[0], name.rsplit(".", 1)[1]
            if kind == "mlp" and config.encoder in ("all", encoder):
                size = learner.slots[name.removesuffix("mlp") + "in"].in_features
                self.parts[name] = Experts(
                    size, config.experts, config.width, random["init"],
                    top=config.top, scale=config.scale, dropout=config.dropout, by_token=encoder == "vision",
                ).to(learner.device)  # fmt: skip
                site.parts[PART] = self.parts[name]

    def begin_task(self, context: TaskContext) -> None:
        torch.manual_seed(
            int(torch.randint(2**62, (), generator=context.random["dropout"]))
        )  # noise and dropout of the routers
        for part in self.parts.values():
            part.add_router()
            part.use.zero_()
            part.current = context.index

    @torch.no_grad()
    def before_forward(self, inputs: Mapping[str, Tensor], *, training: bool) -> None:
        if training:
            self._texts.clear()
            self._chosen.clear()
            return
        if not len(self.selector.codes):
            return
        with self.learner.without(PART):
            z = self.learner.query(inputs).float()
        self._chosen.append(self.selector.tasks_of(z, together=self.config.routing == "batch"))
        for name, part in self.parts.items():
            if name.startswith("vision"):
                part.rows = self._chosen[-1]

    def answer(self, output: Output, classes: Tensor) -> Tensor:
        """Images without a task are compared with the untouched network's prompts, those of a task with its routers' prompts."""
        if not self._chosen:
            return output.logits
        waiting, count = torch.cat(self._chosen), len(output.features)
        chosen, self._chosen = waiting[:count], [waiting[count:]]
        logits = output.logits.clone()
        for task in chosen.unique().tolist():
            if task >= 0:
                own = chosen == task
                logits[own] = self.learner.compare(output.features[own], self._class_features(task)[classes]).to(logits.dtype)
        return logits

    def _class_features(self, task: int) -> Tensor:
        """(classes of the stream, dim) under the task's routers."""
        if task not in self._texts:
            prompts = [part for name, part in self.parts.items() if name.startswith("text")]
            for part in prompts:
                part.asked = task
            self._texts[task] = self.learner.class_features(range(len(self.learner.stream.tasks)), judged=True)
            for part in prompts:
                part.asked = -1
        return self._texts[task]

    @torch.no_grad()
    def end_task(self, context: TaskContext) -> None:
        trainable = count_parameters(self.parameter_groups())
        self._texts.clear()
        with self.learner.without(PART):
            z = torch.cat([self.learner.query(batch.inputs).float() for batch in context.batches()])
        self.selector.learn(z, self.config.code, self.config.quantile)
        for part in self.parts.values():
            part.freeze(part.use.topk(self.config.frozen).indices)
        carried = tensor_bytes(
            [*self.state().values(), *(value for part in self.parts.values() for value in part.state_dict().values())]
        )
        self._facts = MethodFacts(trainable, carried_bytes=carried)

    def modules(self) -> Mapping[str, nn.Module]:
        return self.parts

    def state(self) -> dict[str, Tensor]:
        selector, parts = self.selector, self.parts.values()
        frozen = torch.tensor([[not one.requires_grad for one in part.down] for part in parts])
        codes = {f"code/{task}": code for task, code in enumerate(selector.codes)}
        return {"frozen": frozen, "means": selector.means, "bounds": selector.bounds, **codes}

    def load_state(self, state: dict[str, Tensor]) -> None:
        device, tasks = self.learner.device, len(state["means"])
        self.selector.means, self.selector.bounds = state["means"].to(device), state["bounds"].to(device)
        self.selector.codes = [state[f"code/{task}"].to(device) for task in range(tasks)]
        for part, frozen in zip(self.parts.values(), state["frozen"], strict=True):
            part.freeze(frozen.nonzero()[:, 0])
            for _ in range(tasks):
                part.add_router()

    def facts(self) -> MethodFacts:
        return self._facts
