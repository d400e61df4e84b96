"""CLIP behind the learner interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from suite.backbones.class_loss import cross_entropy, text_to_image_loss
from suite.backbones.class_prompts import Candidates, ClassColumns, ClassPrompts
from suite.backbones.clip_forward import (
    QuickGelu,
    encode_images,
    encode_texts,
    mean_state,
    pools_first_token,
    replace_quick_gelu,
    text_modules,
)
from suite.backbones.clip_references import ClipReferences
from suite.backbones.frozen_norm import replace_norms
from suite.backbones.learner import (
    Answer,
    Batch,
    BeforeForward,
    OnSites,
    Outcomes,
    Output,
    ReferenceData,
    freeze,
    no_choice,
    own_logits,
    place_slots,
)
from suite.backbones.open_clip_network import Tokenizer
from suite.backbones.pixels import PixelStore, image_size, require_images
from suite.backbones.same_prompts import require_told_apart
from suite.backbones.text_embeddings import TextEmbeddings
from suite.benchmarks.stream import LabelSpace, Stream
from suite.data.examples import Split
from suite.data.references import References
from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import compute_plainly
from suite.lowrank.inject import adapt_open_clip_tower
from suite.lowrank.layer import Site, Slot, slots_of
from suite.lowrank.placement import Placement
from suite.lowrank.statistics import second_moments
from suite.parts import BackboneConfig


class ClipConfig(BackboneConfig):
    """Fields shared by all CLIP backbones.

    Attributes:
        text_to_image_loss: add the loss over the images of the batch (CoDyRA release, ``codyra`` loss of the paper's page);
            never used when only the text encoder is adapted.
        text_to_image_norm: divide that loss by the number of seen and current classes (release) or by the images.
        eval_batch_size: images per forward pass in evaluation; null = 512 on a GPU, 128 on a CPU, whose caches hold no more.
        remedy: what to do about class names that this text side cannot tell apart.
    """

    kind: ClassVar[Literal["clip"]] = "clip"
    remedy: ClassVar[str] = "give the classes names that it can tell apart (a folder's name is its class's name)"

    text_to_image_loss: bool = True
    text_to_image_norm: Literal["classes", "images"] = "classes"
    eval_batch_size: Annotated[int, Field(ge=1)] | None = None


class ClipLearner(OnSites):
    """Two encoders, prompts of class names, images as uint8; see ``Learner`` for the contract."""

    kind: Literal["clip"] = "clip"

    def __init__(
        self, config: ClipConfig, stream: Stream, device: torch.device, network: nn.Module, tokenize: Tokenizer
    ) -> None:
        self.tasks = require_images(stream, config.name, image_size(network.visual))
        self.config = config
        self.stream = stream
        self.device = device
        self.network = network.to(device).eval()
        self.tokens = Site("vision.tokens")
        self.sites: dict[str, Site] = {
            **({"vision.tokens": self.tokens} if pools_first_token(network.visual) else {}),
            **adapt_open_clip_tower(_tower(network.visual), "vision", causal=False),
            "text.tokens": Site("text.tokens"),
            **adapt_open_clip_tower(_tower(network), "text", causal=True),
        }
        self.slots = slots_of(self.sites)
        for tower in (network.visual, network):
            replace_quick_gelu(_tower(tower))
        replace_norms(network)
        self._weights = {"vision": EffectiveWeights(_tower(network.visual)), "text": EffectiveWeights(_tower(network))}
        freeze(self.network)
        self.pixels = PixelStore(self.tasks, device)
        self.prompts = ClassPrompts(self.tasks, tokenize, device, merge=stream.shared_classes == "merge")
        self.random_texts = self.prompts.random_texts
        self._shared_prompts = require_told_apart(self.prompts, stream, config.name, config.remedy)
        self.eval_batch_size = config.eval_batch_size or (512 if device.type == "cuda" else 128)
        self.current = 0
        self.label_smoothing = 0.0
        self.before_forward: BeforeForward = no_choice
        self.answer: Answer = own_logits
        self.references: ReferenceData | None = None
        self._tokenize = tokenize
        self._plain = False
        self._counted: Tensor | None = None  # tokens of the prompts at hand that are no padding
        self.embeddings = TextEmbeddings(lambda: (*text_modules(network), *self.sites["text.tokens"].modules()), device)

    @property
    def plain(self) -> bool:
        """The reference: class names tokenised in every step, every token through every block, branch by branch, nothing remembered."""
        return self._plain

    @plain.setter
    def plain(self, plain: bool) -> None:
        self._plain = plain
        compute_plainly(self.network, plain)
        for module in self.network.modules():
            if isinstance(module, QuickGelu):
                module.plain = plain

    def place(self, placement: Placement) -> list[Slot]:
        return place_slots(self.slots, placement)

    def use_references(self, found: References) -> None:
        self.references = ClipReferences(found, self.network.visual, self._tokenize, self.device)

    def begin_task(self, index: int) -> None:
        self.current = index
        self.embeddings.begin_task()

    def lengths(self, task: int) -> NDArray[np.int64] | None:
        return None

    def batch(
        self,
        tasks: Tensor,
        rows: Tensor,
        generator: torch.Generator,
        label_space: Literal["own", "seen"] = "own",
        pool: Tensor | None = None,
    ) -> Batch:
        drawn_from = () if pool is None else tuple(pool[:, 0].unique().tolist())
        batch = Batch(tasks, rows, self.pixels.train_batch(tasks, rows, generator), label_space, drawn_from)
        self.prompts.label_space(self._involved(batch))  # made here, outside the step, when it is new
        return batch

    def batches(self, task: int, split: Split, size: int) -> Iterator[Batch]:
        rows, labels = torch.arange(len(self.pixels.labels(task, split))), self.pixels.labels(task, split)
        for pixels, some in zip(self.pixels.eval_batches([task], split, size), rows.split(size), strict=True):
            tasks = torch.full_like(some, task)
            inputs = {"pixels": pixels, "labels": labels[some].to(self.device), "tasks": tasks.to(self.device)}
            yield Batch(tasks, some, inputs)

    def signature(self, batch: Batch) -> tuple[object, ...]:
        """Equal for batches whose forward passes run the same kernels: tasks involved, label space, image shape."""
        return self._involved(batch), batch.label_space, tuple(batch.inputs["pixels"].shape)

    def _involved(self, batch: Batch) -> tuple[int, ...]:
        own = batch.drawn_from or tuple(batch.tasks.unique().tolist())
        return tuple(range(self.current + 1)) if batch.label_space == "seen" else own

    def forward(self, batch: Batch) -> Output:
        asked = self.before_forward(batch.inputs, training=True)
        if "labels" not in batch.inputs:
            images = self.encode_images(batch.inputs["pixels"])
            return Output(None, _no_classes, lambda: images, asked)
        involved = self._involved(batch)
        space = self.prompts.label_space(involved)
        if self.side is not None and self._adapted("text"):
            with self.side.beside() as joined:
                texts = self._train_texts(involved, space)
            images, texts = self.encode_images(batch.inputs["pixels"]), joined(texts)
        else:
            images, texts = self.encode_images(batch.inputs["pixels"]), self._train_texts(involved, space)
        logits = self.compare(images, texts)  # (n, classes of the involved tasks)
        targets = space.targets(batch.inputs["tasks"], batch.inputs["labels"])
        if batch.label_space == "own" and len(involved) > 1:
            logits = logits.masked_fill(space.foreign(batch.inputs["tasks"]), -torch.inf)
        loss = cross_entropy(logits, targets, self.label_smoothing)
        if len(involved) == 1 and self.config.text_to_image_loss and self._adapted("vision"):
            loss = loss + self._text_to_image(logits, targets, involved[0])
        return Output(loss, lambda: logits, lambda: images, asked)

    @property
    def query_width(self) -> int:
        return int(self.network.text_projection.shape[1])  # type: ignore[index]

    @torch.no_grad()
    def query(self, inputs: Mapping[str, Tensor], layers: int | None = None) -> Tensor:
        return self.encode_images(inputs["pixels"]) if layers is None else mean_state(self.network, inputs["pixels"], layers)

    def distil_logits(self, batch: Batch, output: Output) -> Tensor:
        return output.logits

    def _text_to_image(self, logits: Tensor, targets: Tensor, task: int) -> Tensor:
        classes = self.prompts.count(range(task + 1)) if self.config.text_to_image_norm == "classes" else len(targets)
        return text_to_image_loss(logits, targets, classes)

    def _train_texts(self, involved: tuple[int, ...], space: ClassColumns) -> Tensor:
        """Normalised embeddings of the involved tasks' training prompts, (columns, dim)."""
        if self._plain:
            return space.in_columns(self.encode_texts(self.prompts.tokenized_again(involved)))
        if self._adapted("text"):
            return self.encode_texts(space.tokens)
        return space.in_columns(torch.cat([self._frozen_texts(task) for task in involved]))

    def _frozen_texts(self, task: int) -> Tensor:
        """Task by task: a memory's batches involve any subset of the tasks."""
        tokens = self.prompts.train_tokens(task)
        return self.embeddings.get(f"classes of task {task}", tokens, lambda: self.encode_texts(tokens))

    def _adapted(self, encoder: str) -> bool:
        """Whether anything in the encoder learns; of the text encoder beyond its slots ``embeddings`` knows."""
        slots = (slot for name, slot in self.slots.items() if name.startswith(encoder))
        if any(slot.parts or slot.weight.requires_grad for slot in slots):
            return True
        visual: Any = self.network.visual
        return encoder == "vision" and any(p.requires_grad for p in (*visual.parameters(), *self.tokens.parameters()))

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (n, 3, h, w) to unit embeddings (n, dim)."""
        with self._weights["vision"].made():
            return encode_images(self.network, pixels, self.tokens, plain=self.plain)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Token ids (n, length) to unit embeddings (n, dim)."""
        self._counted = torch.arange(tokens.shape[1], device=tokens.device) <= tokens.argmax(dim=1)[:, None]
        try:
            with self._weights["text"].made():
                return encode_texts(self.network, tokens, self.sites["text.tokens"], plain=self.plain)
        finally:
            self._counted = None

    @torch.no_grad()
    def moments(self, batches: Iterable[Batch], slots: Sequence[Slot]) -> dict[str, Tensor]:
        """See ``Learner``; by the plain way, in which every token passes every map once."""
        before, self.plain = self.plain, True
        try:
            with second_moments(self.network, slots, lambda: self._counted) as found:
                for batch in batches:
                    self.forward(batch)
        finally:
            self.plain = before
        return found

    def evaluate(self, split: Split, tasks: Sequence[int]) -> list[Outcomes]:
        sites = nn.ModuleList(self.sites.values()).eval()  # dropout of live parts; the rest is always in eval mode
        try:
            return self._evaluate(split, tasks)
        finally:
            sites.train()

    @torch.no_grad()
    def _evaluate(self, split: Split, tasks: Sequence[int]) -> list[Outcomes]:
        """The images of all tasks in one pass; the device is waited for once, at its end."""
        embedded = self._class_embeddings()
        batches = self.pixels.eval_batches(tasks, split, self.eval_batch_size)
        images = torch.cat([self._judged_images(pixels) for pixels in batches])
        best, spaces = [], []
        for index, own in zip(tasks, images.split([len(self.pixels.labels(index, split)) for index in tasks]), strict=True):
            candidates = self.prompts.candidates(
                tuple(range(len(self.tasks))) if self.stream.protocol is LabelSpace.UNION else (index,)
            )
            best.append(self._scores(own, embedded, candidates).argmax(dim=1))
            spaces.append(candidates)
        chosen = torch.cat(best).cpu().split([len(part) for part in best])
        return [self._outcomes(index, split, *found) for index, *found in zip(tasks, spaces, chosen, strict=True)]

    def _judged_images(self, pixels: Tensor) -> Tensor:
        self.before_forward({"pixels": pixels}, training=False)
        return self.encode_images(pixels)

    def _scores(self, images: Tensor, embedded: Tensor, candidates: Candidates) -> Tensor:
        """(n, u) by which the method judges images (n, dim) among the distinct prompt sets of a label space."""
        classes = embedded[candidates.unique_rows.to(self.device)]
        output = Output(None, lambda: self.compare(images, classes), lambda: images)
        return self.answer(output, candidates.classes.to(self.device))

    def _outcomes(self, task: int, split: Split, candidates: Candidates, best: Tensor) -> Outcomes:
        """``best`` (n,) column of ``candidates`` each image of the task is closest to."""
        right = candidates.right(task, self.pixels.labels(task, split), best)
        scores = np.where(right.numpy(), np.float32(100.0), np.float32(0.0))
        return Outcomes(scores, ties=int(candidates.ties[best].sum()))

    def compare(self, features: Tensor, classes: Tensor) -> Tensor:
        scale: Tensor = self.network.logit_scale.exp()  # type: ignore[operator]
        with torch.autocast(self.device.type, enabled=False):  # bf16 holds too few digits to rank hundreds of close classes
            return scale * (features.float() @ classes.float().T)

    def class_features(self, tasks: Sequence[int], *, judged: bool) -> Tensor:
        if judged:
            return self._class_embeddings()[self.prompts.prompt_sets(tasks).to(self.device)]
        return torch.cat([self._frozen_texts(task) for task in tasks])

    def _class_embeddings(self) -> Tensor:
        """One row per distinct evaluation prompt set of the whole stream: mean over templates, normalised.

        Both splits of a row share it.
        """
        if self.plain:
            return self._embed_classes()
        return self.embeddings.get("all classes", self.prompts.eval_tokens().tokens, self._embed_classes)

    def _embed_classes(self) -> Tensor:
        sets = self.prompts.eval_tokens()
        embedded = torch.cat([self.encode_texts(part) for part in sets.tokens.split(self.eval_batch_size)])
        total = torch.zeros(sets.count, embedded.shape[1], device=self.device, dtype=embedded.dtype)
        return F.normalize(total.index_add_(0, sets.owner, embedded), dim=-1)

    def facts(self) -> dict[str, Any]:
        return self._shared_prompts


def _tower(encoder: Any) -> nn.ModuleList:
    blocks: nn.ModuleList = encoder.transformer.resblocks
    return blocks


def _no_classes() -> Tensor:
    raise TypeError("a batch without labels is compared with no classes; use its features")
