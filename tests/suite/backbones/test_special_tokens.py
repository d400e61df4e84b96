"""Tokenizers that do not quite fit the model or the texts: refused before training, or counted and noted."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig, MiniLMConfig
from suite.backbones.learner import Batch
from suite.backbones.lm_network import MINI_LM
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream, TextTask
from suite.errors import ConfigError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return MiniTraceConfig(tasks=("NumGLUE-ds",)).build(Path())


def build(stream: Stream, folder: Path) -> CausalLearner:
    built = CausalLMConfig(model=str(folder), max_prompt_tokens=64, max_answer_tokens=16).build(stream, CPU)
    assert isinstance(built, CausalLearner)
    return built


def batch_of(learner: CausalLearner) -> Batch:
    rows = torch.arange(8)
    return learner.batch(torch.zeros_like(rows), rows, torch.Generator())


def with_fields(**fields: Any) -> Callable[[Path], None]:
    """Change fields of ``tokenizer_config.json``."""

    def edit(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return edit


def with_added(token: str) -> Callable[[Path], None]:
    """One token more, whose number is the first outside the embedding."""

    def edit(folder: Path) -> None:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([token])
        tokenizer.save_pretrained(folder)

    return edit


def with_fewer_rows(folder: Path) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=400, **shape)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (with_fields(eos_token=None), "the tokenizer has no end token"),
        (
            with_fields(eos_token="[END]"),
            r"the tokenizer's end token has the number 710, the model's embedding has 710 rows; set eos_token",
        ),
        (with_fields(bos_token="[BEGIN]"), r"begin token has the number 710, .* set bos_token"),
        (with_fewer_rows, r"has 310 tokens beyond the 400 rows of the model's embedding, first '.+'; use the tokenizer"),
        (with_added("long"), r"added token 'long' has the number 710, .* task 'NumGLUE-ds' uses it; remove the token"),
    ],
)
def test_tokenizers_that_do_not_fit_are_refused(
    edit: Callable[[Path], None], said: str, stream: Stream, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINI_LM, folder)
    edit(folder)
    with pytest.raises(ConfigError, match=said):
        build(stream, folder)


@pytest.mark.parametrize(
    ("pad", "source"),
    [
        (None, "end token, the tokenizer has no pad token"),
        ("[PAD]", "end token, the tokenizer's pad token lies outside the model's embedding"),
    ],
)
def test_rows_are_padded_with_the_end_token_where_no_other_can_be(
    pad: str | None, source: str, stream: Stream, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINI_LM, folder)
    with_fields(pad_token=pad)(folder)
    with_added("never used")(folder)  # outside too, but in no text
    learner, shipped = build(stream, folder), MiniLMConfig(max_prompt_tokens=64, max_answer_tokens=16).build(stream, CPU)
    learner.begin_task(0)
    assert learner.facts()["pad_token"] == source
    batch = batch_of(learner)
    assert learner.forward(batch).loss.item() == pytest.approx(shipped.forward(batch).loss.item(), abs=1e-6)
    assert learner.evaluate("validation", [0])[0].texts == shipped.evaluate("validation", [0])[0].texts


def test_answers_that_cannot_come_back_are_counted_and_noted(stream: Stream, tmp_path: Path) -> None:
    """Lower case through the tokenizer, and the end token itself as an answer; the shipped tokenizer changes nothing else."""
    folder = tmp_path / "model"
    shutil.copytree(MINI_LM, folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": {"type": "Lowercase"}}))
    task = stream.tasks[0]
    assert isinstance(task, TextTask)
    answers = ("Red", "red", "</s>", "re</s>d", *task.test.answers[4:])
    other = dataclasses.replace(task, test=dataclasses.replace(task.test, answers=answers))
    own = dataclasses.replace(stream, tasks=[other])
    for learner, count in ((build(own, folder), 3), (build(own, MINI_LM), 2)):
        learner.begin_task(0)
        facts = learner.facts()
        assert facts["answers_changed_by_the_tokenizer"] == {"validation": 0, "test": count}
        assert (
            f"NumGLUE-ds: {count} of {len(task.test)} test answers changed on the way through the tokenizer and back"
            in facts["notes"]
        )


def test_the_shipped_tokenizer_brings_back_what_the_shipped_streams_ask_for() -> None:
    stream = MiniTraceConfig().build(Path())
    learner = MiniLMConfig().build(stream, CPU)
    for task in range(len(stream)):
        learner.begin_task(task)
        assert learner.facts()["answers_changed_by_the_tokenizer"] == {"validation": 0, "test": 0}
