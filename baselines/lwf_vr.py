"""LwF-VR: LwF whose texts are random strings of words instead of the class prompts ("vocabulary replay").

    L = L_inner + a D(Z, Z*) + b D(Z^T, Z*^T),      Z = s f(x) E*^T,   Z* = s f*(x) E*^T,   E* (texts, dim) of 1000 random texts

The teacher f* is the network before the task, images are those of the current batch, texts of ten words are drawn once per task.

Source: ZSCL, arXiv 2303.06628; Thunderbeee/ZSCL (commit b96e714) mtil/src/models/finetune.py, helpers.py (virtual_vocab),
mtil/scripts/lwf_vr.sh: T 2, a = b = 1, around full fine-tuning. Start, end and padding are not drawn as words, which may happen there.
With ``texts=current`` all texts pass the student's text encoder in every step: costly, and not published.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from baselines.lwf import Lwf, LwfConfig
from suite.backbones.learner import Learner, Output
from trainables.method import Need, TaskContext


class LwfVrConfig(LwfConfig):
    """Hyperparameters; ``number`` texts of ``words`` words each, the rest as of ``lwf``."""

    knows_later_tasks = False
    name: Literal["lwf-vr"] = "lwf-vr"  # type: ignore[assignment]
    number: Annotated[int, Field(ge=2, le=100_000)] = 1000
    words: Annotated[int, Field(ge=1)] = 10

    def build(self) -> LwfVr:
        return LwfVr(self)


class LwfVr(Lwf):
    """Draws by the generator ``vocabulary``."""

    kinds: frozenset[Need] = frozenset({"clip"})

    def __init__(self, config: LwfVrConfig) -> None:
        super().__init__(config)
        self.drawn = config

    def embed(self, context: TaskContext) -> Tensor:
        self.tokens = context.learner.random_texts(self.drawn.number, self.drawn.words, context.random["vocabulary"])
        return context.learner.encode_texts(self.tokens)

    def student(self, learner: Learner, output: Output) -> Tensor:
        assert self.tokens is not None
        texts = self.texts if self.config.texts == "teacher" else learner.encode_texts(self.tokens)
        return learner.compare(output.features, texts)
