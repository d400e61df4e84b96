"""What a task's row of the record says about its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice

from baselines.lora import LoraConfig
from suite.benchmarks.stream import ImageTask, Stream, TextTask, learned_tests
from suite.data.examples import TextExamples
from trainables.codyra import CodyraConfig
from trainables.stream_trainer import StreamTrainer


def with_copies(stream: Stream, count: int) -> Stream:
    """``stream`` whose first task tests on some of the pictures that it learns from."""
    first, *rest = stream.tasks
    assert isinstance(first, ImageTask)
    pixels = first.test.pixels.copy()
    pixels[:count] = first.train.pixels[:count]
    return dataclasses.replace(
        stream, tasks=[dataclasses.replace(first, test=dataclasses.replace(first.test, pixels=pixels)), *rest]
    )


def test_copies_between_training_and_test_are_noted_beside_the_methods_notes(
    mini_stream: Stream, make_trainer: Callable[..., StreamTrainer]
) -> None:
    spoiled = with_copies(mini_stream, 3)
    trainer = make_trainer(CodyraConfig(placement="vision:q@0"), stream=spoiled, steps=2)
    copied = [report.result.facts for report in islice(trainer.rows(0), 2)]
    name, test = spoiled.tasks[0].name, spoiled.tasks[0].test
    assert copied[0]["test_copies"] == 3
    assert copied[0]["notes"] == [
        f"{name}: 3 of {len(test)} test examples also in training or validation under another name, byte for byte, first '{test.ids[0]}'",
        "codyra: 2 steps leave no room for a threshold, so no rank is pruned",
    ]
    assert "test_copies" not in copied[1]
    quiet = next(make_trainer(LoraConfig(placement="vision:q@0"), stream=mini_stream, steps=1).rows(0)).result.facts
    assert "notes" not in quiet


def test_rows_of_text_are_copies_when_prompt_and_answer_are() -> None:
    rows = [
        TextExamples((f"p{split}", "p"), (f"a{split}", "a" if split != "validation" else "b"), (f"{split}/0", f"{split}/1"))
        for split in ("train", "validation", "test")
    ]
    assert learned_tests(TextTask("t", *rows, "accuracy", 4)) == ["test/1"]
