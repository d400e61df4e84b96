"""Few shapes for batches of texts: a ladder of widths, one window of answers per task, one shape for all that is drawn from one pool."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.text_shapes import TextShapes, ladder
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.data.text import TokenRow


def row(tokens: int, answer: int) -> TokenRow:
    return TokenRow(np.ones(tokens, dtype=np.int64), answer)


TASKS = [
    [row(20, 3), row(70, 5), row(100, 2)],
    [row(300, 90), row(1100, 399), row(1150, 2)],
    [*(row(500, 2) for _ in range(20)), row(100, 2), row(300, 2)],
]
SHAPES = TextShapes(TASKS.__getitem__)


def test_no_step_of_the_ladder_is_more_than_half_as_long_again() -> None:
    steps = list(islice(ladder(96), 9))
    assert steps == [96, 144, 192, 288, 384, 576, 768, 1152, 1536]
    assert all(after <= 1.5 * before for before, after in pairwise(steps))


def test_width_is_that_of_the_longest_row_and_answers_are_one_window_per_task() -> None:
    assert SHAPES.of(torch.tensor([[0, 0], [0, 1]])) == (96, 16)
    assert SHAPES.of(torch.tensor([[0, 2]])) == (128, 16)  # no row of the task is longer, so it need not be 144
    assert SHAPES.of(torch.tensor([[1, 0]])) == (384, 512)
    assert SHAPES.of(torch.tensor([[1, 1]])) == (1152, 512)
    assert SHAPES.of(torch.tensor([[0, 0], [1, 0]])) == (384, 512)


def test_few_rows_of_a_length_are_padded_instead_of_having_a_shape_of_their_own() -> None:
    assert {SHAPES.of(torch.tensor([[2, place]])) for place in range(22)} == {(512, 16)}


def test_batches_from_one_pool_have_one_shape_whatever_was_drawn() -> None:
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("Py150", "FOMC")).build(Path()), torch.device("cpu"))
    assert isinstance(learner, CausalLearner)
    pool = torch.tensor([[task, place] for task in (0, 1) for place in range(8)])
    draws = [(torch.tensor([task, task]), torch.tensor([place, 7 - place])) for task in (0, 1) for place in range(4)]

    def signatures(pool: torch.Tensor | None) -> set[object]:
        return {learner.signature(learner.batch(tasks, rows, torch.Generator(), pool=pool)) for tasks, rows in draws}

    assert len(signatures(pool)) > 1  # a CPU records nothing and pads no more than it must
    learner.shapes = TextShapes(learner.texts.training)
    assert len(signatures(pool)) == 1
    alone = learner.batch(*draws[0], torch.Generator(), pool=pool)
    learner.shapes = None
    bare = learner.batch(*draws[0], torch.Generator())
    assert torch.allclose(learner.forward(alone).loss, learner.forward(bare).loss, atol=1e-5)
