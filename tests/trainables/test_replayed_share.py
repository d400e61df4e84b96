"""How many steps of the published streams are replays: the real feed, shapes and bookkeeping of steps, without their arithmetic.

Rows, classes and budgets are the published ones; texts have the lengths of the real slices, or those that are published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.clip import MiniClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.pretrain_clip import load_mini_clip
from suite.backbones.text_shapes import TextShapes
from suite.benchmarks.mtil import MtilConfig
from suite.benchmarks.stream import ImageTask, LabelSpace, Stream, TextTask
from suite.benchmarks.trace import RECIPES, Trace500Config, TraceConfig
from suite.benchmarks.xtail import XtailConfig
from suite.data.examples import ImageExamples, TextExamples
from suite.data.image_facts import stream_facts
from suite.data.prompt_files import read_task
from suite.data.text import TextEncoder, TokenRow
from suite.parts import TrainingConfig
from suite.randomness import RandomStreams
from suite.registry import METHODS
from trainables.captured_step import TaskStep
from trainables.stream_trainer import StreamTrainer

pytestmark = pytest.mark.slow
Lengths = Callable[[str], list[tuple[int, int]]]  # task -> tokens and answer tokens of some of its rows
CPU = torch.device("cpu")
WINDOW, ANSWERS = 1024, 512  # of a causal-lm by default
# Mean words of a row: arXiv 2310.06762, Table 1. Taken as 1.4 tokens each, spread as the rows of the real slices are.
PUBLISHED_WORDS = {
    "C-STANCE": 127,
    "FOMC": 51,
    "MeetingBank": 2853,
    "Py150": 422,
    "ScienceQA": 210,
    "NumGLUE-cm": 32,
    "NumGLUE-ds": 21,
    "20Minuten": 382,
}
TOKENS_OF_A_WORD = 1.4


def share_replayed(trainer: StreamTrainer, patch: pytest.MonkeyPatch) -> float:
    """Steps of the whole stream that a GPU would replay, 0 to 1."""
    patch.setattr(TaskStep, "_obstacle", lambda self: None)
    patch.setattr(TaskStep, "_work", lambda self, index, lr, passes: torch.zeros(()))
    patch.setattr(TaskStep, "_capture", lambda self, work: (SimpleNamespace(replay=lambda: None), torch.zeros(())))
    patch.setattr("trainables.captured_step._Recorded.replay", lambda self, passes: self.loss)
    replayed = taken = 0
    for index in range(len(trainer.stream)):
        trainer.learner.begin_task(index)
        context = trainer.context(index)
        trainer.method.begin_task(context)
        steps = trainer._task_step(context)
        for number, passes in enumerate(trainer._feed(context, context.steps)):
            steps(number, 0.0, passes)
        replayed, taken = replayed + steps.replayed, taken + context.steps
        trainer.method.end_task(context)
    return replayed / taken


def image_task(name: str, rows: int, classes: int) -> ImageTask:
    pixels = np.broadcast_to(np.zeros((1, 3, 32, 32), dtype=np.uint8), (rows, 3, 32, 32))
    labels = np.arange(rows) % classes
    parts = {
        split: ImageExamples(pixels[:count], labels[:count], tuple(f"{split}{row}" for row in range(count)), content="none")
        for split, count in (("train", rows), ("validation", 1), ("test", 1))
    }
    names = tuple(f"{name} {number}" for number in range(classes))
    return ImageTask(name=name, class_names=names, train_templates=("{}",), eval_templates=("{}",), **parts)


def image_stream(benchmark: MtilConfig | XtailConfig) -> Stream:
    """The rows and classes of the published stream; every picture is black."""
    facts, shots = stream_facts(benchmark.family), benchmark.shots
    sets = {name: facts["sets"][name] for name in facts["orders"]["I"]}
    tasks = [
        image_task(name, fact["train"] if shots is None else shots * fact["classes"], fact["classes"])
        for name, fact in sets.items()
    ]
    return Stream("published", tasks, benchmark.protocol, ())


def image_trainer(benchmark: MtilConfig | XtailConfig, method: str, patch: pytest.MonkeyPatch) -> StreamTrainer:
    known: dict[str, int] = {}

    def tokenize(texts: Sequence[str]) -> Tensor:
        numbers = [known.setdefault(text, len(known)) for text in texts]
        return torch.tensor([[1, 2 + number // 500, 2 + number % 500, 999, 0] for number in numbers])

    network, _ = load_mini_clip()
    learner = ClipLearner(MiniClipConfig(), image_stream(benchmark), CPU, network, tokenize)

    def pictures(tasks: Tensor, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"pixels": torch.zeros(1).expand(len(rows), 3, 32, 32), "labels": torch.zeros_like(rows), "tasks": tasks}

    patch.setattr(learner.pixels, "train_batch", pictures)
    return trainer_of(learner, method, benchmark.budget)


def trainer_of(learner: Any, method: str, budget: Mapping[str, Any]) -> StreamTrainer:
    built = METHODS[method].model_validate({"name": method}).build()
    return StreamTrainer(learner, built, TrainingConfig.model_validate(budget), RandomStreams(0))


@pytest.fixture
def of_slices(real_data: Callable[[str], Path]) -> Lengths:
    """Lengths of the rows of the real slices, by the tokenizer of a real language model."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(real_data("tiny_lm_real/stories260k"))
    encoder, folder = TextEncoder(tokenizer, WINDOW, ANSWERS), real_data("trace_real")

    @cache
    def lengths(task: str) -> list[tuple[int, int]]:
        found = read_task(folder / task).train
        return [(len(row.ids), row.answer_tokens) for row in encoder.training_rows(found.prompts, found.answers)]

    return lengths


def as_published(of_slices: Lengths) -> Lengths:
    """Prompts as long as the published mean says, spread as in the slices."""

    def lengths(task: str) -> list[tuple[int, int]]:
        whole, answers = np.array(of_slices(task)).T
        relative = whole / np.exp(np.log(whole).mean())
        prompts = np.clip(relative * PUBLISHED_WORDS[task] * TOKENS_OF_A_WORD, 2, WINDOW).astype(int)
        return list(zip((prompts + answers).tolist(), answers.tolist(), strict=True))

    return lengths


def text_trainer(benchmark: TraceConfig | Trace500Config, rows: int, lengths: Lengths, method: str) -> StreamTrainer:
    """``rows`` training rows per task, whose lengths are drawn from those that ``lengths`` knows."""
    draws, tasks = np.random.default_rng(0), []
    tokens: list[list[TokenRow]] = []
    for name, recipe in RECIPES.items():
        known = lengths(name)
        drawn = [known[place] for place in draws.integers(len(known), size=rows)]
        tokens.append([TokenRow(np.ones(whole, dtype=np.int64), answer) for whole, answer in drawn])
        parts = {
            split: TextExamples(("p",) * count, ("a",) * count, tuple(f"{split}{row}" for row in range(count)))
            for split, count in (("train", rows), ("validation", 1), ("test", 1))
        }
        tasks.append(TextTask(name=name, metric=recipe.metric, max_new_tokens=16, epochs=recipe.epochs, **parts))
    learner = MiniLMConfig().build(Stream("published", tasks, LabelSpace.GENERATION, (), scoring="strict"), CPU)
    assert isinstance(learner, CausalLearner)
    learner.texts.training = tokens.__getitem__
    learner.shapes = TextShapes(learner.texts.training)
    return trainer_of(learner, method, benchmark.budget)


@pytest.mark.parametrize("method", ["lora", "replay", "joint"])
@pytest.mark.parametrize("benchmark", [MtilConfig(), XtailConfig()], ids=lambda config: config.name)
def test_image_streams(benchmark: MtilConfig | XtailConfig, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert share_replayed(image_trainer(benchmark, method, monkeypatch), monkeypatch) >= 0.95


@pytest.mark.parametrize("method", ["lora", "replay"])
@pytest.mark.parametrize("source", ["slices", "published"])
@pytest.mark.parametrize(("benchmark", "rows"), [(TraceConfig(), 5000), (Trace500Config(), 500)], ids=["trace", "trace-500"])
def test_text_streams(
    benchmark: TraceConfig | Trace500Config,
    rows: int,
    source: str,
    method: str,
    of_slices: Lengths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = of_slices if source == "slices" else as_published(of_slices)
    assert share_replayed(text_trainer(benchmark, rows, lengths, method), monkeypatch) >= 0.95
