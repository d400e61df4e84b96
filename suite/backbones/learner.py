"""The learner: our handle on a backbone. It knows CLIP or a causal language model and nothing of methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from suite.benchmarks.stream import Stream
from suite.data.examples import Split
from suite.data.references import References
from suite.errors import ConfigError
from suite.lowrank.layer import Site, Slot
from suite.lowrank.placement import Placement
from suite.lowrank.statistics import parts_off, weight_gradients
from suite.side_stream import SideStream


@dataclass(frozen=True)
class Batch:
    """Some training rows on the device; usually of one task, replayed ones may come from several.

    Attributes:
        tasks: (n,) int64, the stream index each row belongs to.
        rows: (n,) int64, rows of those tasks' training splits.
        inputs: what the learner's forward needs (pixels and labels, or token ids and labels).
        label_space: ``own`` = each row is judged among its own task's classes, ``seen`` = among those of all tasks begun so
            far. Without meaning for text.
        drawn_from: the tasks that its rows were drawn from where these may be more than the rows' own; else empty.
    """

    tasks: Tensor
    rows: Tensor
    inputs: dict[str, Tensor]
    label_space: Literal["own", "seen"] = "own"
    drawn_from: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, places: Tensor) -> Batch:
        """The rows at ``places`` (k,) int64 of this batch as a batch of their own."""
        inputs = {name: value[places.to(value.device)] for name, value in self.inputs.items()}
        return replace(self, tasks=self.tasks[places], rows=self.rows[places], inputs=inputs)

    def without_labels(self) -> Batch:
        """The same images without their classes: the network has features of them, and no loss."""
        return replace(self, inputs={key: value for key, value in self.inputs.items() if key != "labels"})

    def one_by_one(self) -> Iterator[Batch]:
        """Each row as a batch of its own."""
        return map(self.part, torch.arange(len(self)).split(1))


@dataclass(frozen=True)
class Output:
    """Result of a forward pass.

    Attributes:
        task_loss: mean task loss, a scalar; None where the batch has no labels.
        compute_logits: the logits, which a loss over a large vocabulary does without.
        compute_features: what the network says of each row before it is compared with classes or words.
        asked: what the method's ``before_forward`` returned for this pass.
    """

    task_loss: Tensor | None
    compute_logits: Callable[[], Tensor]
    compute_features: Callable[[], Tensor]
    asked: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """Mean task loss of a batch with labels, a scalar."""
        assert self.task_loss is not None, "a batch without labels has no loss"
        return self.task_loss

    @property
    def logits(self) -> Tensor:
        """(n, classes), or (n, answer window, vocabulary), ends of short answers aligned."""
        return self.compute_logits()

    @property
    def features(self) -> Tensor:
        """(n, dim): unit image embeddings, or the last layer's state from which the first answer token is predicted."""
        return self.compute_features()


@dataclass(frozen=True)
class Outcomes:
    """Per-example scores of one task's split, in the order of its ids.

    Attributes:
        scores: float32 (n,), 0 to 100; accuracies hold only 0 and 100.
        texts: generated answers (text tasks), so that other conventions can be computed later.
        ties: image examples whose best prompt belongs to several classes, to the first of which it is counted.
    """

    scores: NDArray[np.float32]
    texts: tuple[str, ...] = ()
    ties: int = 0

    @property
    def mean(self) -> float:
        return float(self.scores.astype(np.float64).mean())


class BeforeForward(Protocol):
    """See ``Method.before_forward``."""

    def __call__(self, inputs: Mapping[str, Tensor], *, training: bool) -> Tensor | None: ...


Answer = Callable[[Output, Tensor], Tensor]  # see ``Method.answer``


def no_choice(inputs: Mapping[str, Tensor], *, training: bool) -> None:
    """The ``before_forward`` of a learner without a method."""


def own_logits(output: Output, classes: Tensor) -> Tensor:
    """The ``answer`` of a learner without a method."""
    return output.logits


class ReferenceData(Protocol):
    """Data beside the stream, as the backbone reads it.

    Attributes:
        texts: (texts, context) tokens of the captions.
    """

    texts: Tensor

    def __len__(self) -> int:
        """Number of pictures."""

    def batch(self, rows: Tensor) -> Batch:
        """Pictures ``rows`` (n,), without labels."""


class Learner(Protocol):
    """What the stream trainer and the methods may ask of a backbone.

    Attributes:
        kind: what the backbone is; methods say which kinds they can serve.
        plain: compute as everybody writes it; the reference that the fast ways are compared and timed with.
        label_smoothing: of the task loss, from 0 up to 1.
        before_forward: a method's, called with what the network is about to see (``trainables.method`` says with what).
        answer: a method's, asked for the scores by which images are judged.
        references: what the run's reference set holds; None without one.
        side: where one of two encoders may work beside the other in a training step; None: they work in turn.
    """

    side: SideStream | None
    label_smoothing: float
    before_forward: BeforeForward
    answer: Answer
    references: ReferenceData | None
    stream: Stream
    network: nn.Module
    slots: dict[str, Slot]  # every adaptable linear map by name, in network order
    sites: dict[str, Site]  # every place on which other parts can stand, by name, in network order
    device: torch.device
    plain: bool

    @property
    def kind(self) -> Literal["clip", "lm"]: ...

    def place(self, placement: Placement) -> list[Slot]:
        """The slots a placement names; ConfigError when it names none."""

    def use_references(self, found: References) -> None:
        """Make ``references`` of a reference set; ConfigError where the backbone reads none."""

    def begin_task(self, index: int) -> None:
        """Called before any batch of task ``index``, which will change the network."""

    def batch(
        self,
        tasks: Tensor,
        rows: Tensor,
        generator: torch.Generator,
        label_space: Literal["own", "seen"] = "own",
        pool: Tensor | None = None,
    ) -> Batch:
        """Training rows as a batch, ``tasks`` and ``rows`` (n,) each; ``generator`` drives augmentation.

        Args:
            pool: (m, 2) tasks and rows that these were drawn from, or at least all tasks and the longest row of each. Batches of equal
                size from one pool run the same kernels, so that one recorded step serves them all: they are compared with the classes of
                all its tasks, those of other tasks than a row's own masked, and on a GPU padded to one length. None = the rows themselves.
        """

    def batches(self, task: int, split: Split, size: int) -> Iterator[Batch]:
        """All rows of a split in order, not augmented, ``size`` at a time, judged among their own task's classes."""

    def lengths(self, task: int) -> NDArray[np.int64] | None:
        """Token count of each training row, or None when all rows have one size; batches are bucketed by it."""

    def forward(self, batch: Batch) -> Output:
        """Task loss and logits with gradients through the slots."""

    def moments(self, batches: Iterable[Batch], slots: Sequence[Slot]) -> dict[str, Tensor]:
        """Slot name -> mean of x x^T (in, in) over all tokens that enter the slot in the forward passes of ``batches``.

        Padding does not count. q, k and v share their input's tensor. The parts that stand in the network are in force.
        """

    def weight_gradients(
        self, batches: Iterable[Batch], slots: Sequence[Slot], *, per_example: bool = False
    ) -> dict[str, Tensor]:
        """Slot name -> mean gradient (rows, in) of the task loss; with ``per_example`` the mean of its squares, example by example."""

    def without(self, *keys: str) -> AbstractContextManager[None]:
        """The network with the parts of these names off, on every slot and site."""

    def class_features(self, tasks: Sequence[int], *, judged: bool) -> Tensor:
        """(classes of ``tasks``, dim) unit embeddings of their prompts as the network stands; TypeError without classes.

        Args:
            judged: of the prompts of evaluations, else of those of training.
        """

    def compare(self, features: Tensor, classes: Tensor) -> Tensor:
        """(n, k) logits of unit embeddings (n, dim) among those of classes (k, dim); TypeError without classes."""

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """(n, dim) unit embeddings of texts (n, tokens), with gradients through the slots; TypeError without a text encoder."""

    def random_texts(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """(count, length + 2) texts of so many words drawn from the vocabulary; TypeError without a text encoder.

        Raises:
            ConfigError: longer than the encoder reads.
        """

    @property
    def query_width(self) -> int:
        """Numbers of a row of ``query``."""

    def query(self, inputs: Mapping[str, Tensor], layers: int | None = None) -> Tensor:
        """(n, query width), without gradients: by what methods tell examples apart, from ``inputs`` as ``before_forward`` gets them.

        Unit embeddings of images, or mean embeddings of a prompt's tokens; padding and answers do not count. With ``layers`` the mean
        state (n, width) of an image's or a prompt's tokens after the first so many.
        """

    def make_room(self, count: int) -> None:
        """Before a method puts ``count`` tokens in front of every row: cut prompts where the network's window would be too small."""

    def distil_logits(self, batch: Batch, output: Output) -> Tensor:
        """(n, k) logits a distillation term compares: class logits, or those of the answer tokens."""

    def evaluate(self, split: Split, tasks: Sequence[int]) -> list[Outcomes]:
        """Outcomes of the named tasks on one split, judged by the stream's protocol, in eval mode, without gradients."""

    def facts(self) -> dict[str, Any]:
        """What was counted on the way and belongs into the record (rows cut, padding share, ties)."""


def freeze(network: nn.Module) -> None:
    """Switch off gradients of every parameter; called after layers were replaced, so that new ones are frozen too."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)


def place_slots(slots: dict[str, Slot], placement: Placement) -> list[Slot]:
    """Slots named by ``placement``; names are ``encoder.layer.weight[...]``, language models use ``layers``.

    Raises:
        ConfigError: if no slot is left, naming the layers and weights there are.
    """
    chosen = [slot for slot in slots.values() if placement.takes(*slot_address(slot.name))]
    if not chosen:
        encoders = sorted({slot_address(name)[0] for name in slots} - {"layers"})
        layers = max(slot_address(name)[1] for name in slots)
        where = " and ".join(encoders) + " " if encoders else ""
        raise ConfigError(f"placement '{placement}' names no layer of this backbone; it has {where}layers 0 to {layers}.")
    return chosen


def slot_address(name: str) -> tuple[str, int, str]:
    """(encoder, layer, placement weight) of a slot name such as ``vision.3.q`` or ``layers.5.in.gate``."""
    encoder, layer, weight, *_ = name.split(".")
    return encoder, int(layer), weight


class OnSites:
    """What all learners do alike with their slots and sites."""

    side: SideStream | None = None

    def make_room(self, count: int) -> None:
        """Nothing: where positions are added before parts put tokens in front, there is no window."""

    def weight_gradients(
        self: Learner, batches: Iterable[Batch], slots: Sequence[Slot], *, per_example: bool = False
    ) -> dict[str, Tensor]:
        """See ``Learner``."""
        some = (one for batch in batches for one in (batch.one_by_one() if per_example else [batch]))
        losses = ((len(batch), lambda batch=batch: self.forward(batch).loss) for batch in some)
        return weight_gradients(slots, losses, squares=per_example)

    def without(self: Learner, *keys: str) -> AbstractContextManager[None]:
        """See ``Learner``."""
        return parts_off(self.sites, keys)
