"""Reads tasks laid out as ``<task>/{train,eval,test}.json`` and keeps their splits disjoint, counting what it drops.

Every file is a JSON array of objects with the strings ``prompt`` and ``answer``. ``eval.json`` is the validation split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from suite.counting import counted
from suite.data.examples import Split, TextExamples
from suite.errors import DataError
from suite.files import composed, read_json
from suite.randomness import numpy_generator

FILES: dict[Split, str] = {"train": "train.json", "validation": "eval.json", "test": "test.json"}
HELD_OUT_SHARE = 0.1  # of the distinct training prompts, when a task has no validation rows of its own
HELD_OUT_MOST = 100
LAYOUT = 'lay it out as [{"prompt": "...", "answer": "..."}, ...]'


@dataclass(frozen=True, eq=False)
class TaskSplits:
    """Three disjoint splits of one task and, in words, what was removed or held out ("" when nothing was)."""

    train: TextExamples
    validation: TextExamples
    test: TextExamples
    note: str = ""


def read_task(folder: Path, *, train_overlap: Literal["drop", "keep"] = "drop") -> TaskSplits:
    """The splits of one task folder under the suite's rules.

    1. Training rows whose prompt is also a test prompt are dropped (``keep`` leaves them in, as the releases do).
    2. Validation rows whose prompt is also a test or training prompt are dropped.
    3. When no validation row is left, 10 % of the distinct training prompts, 1 to 100, are held out of train with all
       their copies.

    Prompts are compared in lower case with blanks collapsed.

    Raises:
        DataError: a missing or unreadable file, a row that is no prompt with an answer, or a split left without rows.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; a task needs a folder with {', '.join(FILES.values())}.")
    for split in ("train", "test"):
        if not (folder / FILES[split]).is_file():
            raise DataError(f"{folder}: has no {FILES[split]}; a task folder needs train.json and test.json.")
    train = read_rows(folder / FILES["train"], "train")
    test = read_rows(folder / FILES["test"], "test")
    path = folder / FILES["validation"]
    validation = read_rows(path, "validation") if path.is_file() else TextExamples((), (), ())
    return disjoint(folder, train, validation, test, train_overlap)


def disjoint(
    folder: Path,
    train: TextExamples,
    validation: TextExamples,
    test: TextExamples,
    train_overlap: Literal["drop", "keep"],
) -> TaskSplits:
    """Apply the rules of ``read_task``; ``folder`` names the task in errors and keys the draw."""
    notes = []
    tested = prompt_keys(test)
    if train_overlap == "drop":
        train, dropped = _without(train, set(tested))
        notes += [f"{counted(dropped, 'train row')} dropped that test also has"] if dropped else []
    if not len(train):
        raise DataError(f"{folder}: every training prompt is also a test prompt, so nothing is left to learn from.")
    validation, dropped = _without(validation, {*tested, *prompt_keys(train)})
    notes += [f"{counted(dropped, 'validation row')} dropped that test or train also has"] if dropped else []
    if not len(validation):
        train, validation = _hold_out(folder, train)
        notes.append(f"{counted(len(validation), 'validation row')} held out of train")
    return TaskSplits(train, validation, test, ", ".join(notes))


def prompt_keys(examples: TextExamples) -> list[str]:
    """Prompts as they are compared: lower case, blanks collapsed."""
    return [" ".join(prompt.lower().split()) for prompt in examples.prompts]


def read_rows(path: Path, split: Split) -> TextExamples:
    """The rows of one file, in file order.

    Raises:
        DataError: naming the file and, where there is one, the row (counted from 0).
    """
    rows = read_json(path, LAYOUT)
    if not isinstance(rows, list):
        raise DataError(f"{path}: holds a {type(rows).__name__} instead of a list of rows; {LAYOUT}.")
    if not rows:
        raise DataError(f"{path}: holds no row; add rows or remove the task.")
    return examples_of(composed(path.parent.name), split, [_pair(path, number, row) for number, row in enumerate(rows)])


def examples_of(task: str, split: Split, pairs: Sequence[tuple[str, str]]) -> TextExamples:
    """Pairs of prompt and answer with ids ``<task>/<split>/<row>:<content hash>``."""
    ids = tuple(f"{task}/{split}/{number}:{_digest(pair)}" for number, pair in enumerate(pairs))
    return TextExamples(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs), ids)


def _pair(path: Path, number: int, row: Any) -> tuple[str, str]:
    where = f"{path}: row {number}"
    if not isinstance(row, dict):
        raise DataError(f"{where} is a {type(row).__name__} instead of an object with prompt and answer; {LAYOUT}.")
    for field in ("prompt", "answer"):
        if field not in row:
            raise DataError(f"{where} has no '{field}'; give every row a prompt and an answer.")
        value = row[field]
        if not isinstance(value, str):
            raise DataError(f"{where} has {json.dumps(value)[:60]} as '{field}', which is no string; put it in quotes.")
        if not value.strip():
            raise DataError(f"{where} has an empty '{field}'; fill it in or delete the row.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise DataError(f"{where} has half a character (a lone surrogate) in '{field}'; correct the text.")
    return row["prompt"], row["answer"]


def _digest(pair: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(pair).encode()).hexdigest()[:12]


def _without(examples: TextExamples, keys: set[str]) -> tuple[TextExamples, int]:
    kept = [row for row, key in enumerate(prompt_keys(examples)) if key not in keys]
    return (examples if len(kept) == len(examples) else _take(examples, kept)), len(examples) - len(kept)


def _hold_out(folder: Path, train: TextExamples) -> tuple[TextExamples, TextExamples]:
    """(rest of train, validation); which prompts depends on the task's name and its prompts alone."""
    keys = prompt_keys(train)
    distinct = sorted(set(keys))
    if len(distinct) < 2:
        raise DataError(f"{folder}: has one distinct training prompt, too few to hold validation rows out; add rows.")
    count = min(HELD_OUT_MOST, max(1, round(HELD_OUT_SHARE * len(distinct))))
    places = numpy_generator("hold out", composed(folder.name)).permutation(len(distinct))[:count]
    chosen = {distinct[place] for place in places.tolist()}
    rest = [row for row, key in enumerate(keys) if key not in chosen]
    return _take(train, rest), _take(train, [row for row, key in enumerate(keys) if key in chosen])


def _take(examples: TextExamples, rows: Sequence[int]) -> TextExamples:
    return TextExamples(
        tuple(examples.prompts[row] for row in rows),
        tuple(examples.answers[row] for row in rows),
        tuple(examples.ids[row] for row in rows),
    )
