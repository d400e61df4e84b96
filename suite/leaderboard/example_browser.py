"""A page of single examples: which ones one row of a stream gets right and another one wrong, from stored outcomes and answers.

Outcomes of all examples are on it. Pictures and texts are on it as far as its size allows, those first on which rows differ, and
evenly over all tasks of all streams.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.benchmarks.stream import ImageTask, Stream, Task
from suite.data.examples import ImageExamples
from suite.hashing import text_hash
from suite.leaderboard.pages import json_in_page, render
from suite.leaderboard.report_sections import Section
from suite.leaderboard.report_winners import method_colours
from suite.leaderboard.runs import RunSet
from suite.runs.record import Record

LARGEST = 20_000_000  # bytes of the page
MOST_RUNS = 80  # of a stream; the first run of every row before the second of any
THUMBNAIL = 72  # pixels of the longer side
PROMPT, ANSWER = 900, 400  # characters, of which the beginning and the end are kept
LOSSLESS = 40  # pictures up to this side are kept as they are
QUALITY = 70  # of larger ones, as JPEG
AROUND = 24  # bytes that hold one content in the page beside itself

Answers = Callable[[Record], Mapping[str, list[str]]]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class _Shown:
    """One stream with the scores of its runs after the last task, (runs, examples) per task."""

    section: Section
    stream: Stream | None
    runs: Sequence[tuple[str, str, Record]]  # label, mark, run
    scores: Sequence[Scores]
    answers: Sequence[Mapping[str, list[str]]]
    items: list[dict[str, Any]] = field(default_factory=list)

    def task(self, place: int) -> Task | None:
        return self.stream.tasks[place] if self.stream is not None else None


def example_page(
    sections: Sequence[Section],
    runs: RunSet,
    streams: Mapping[str, Stream],
    answers: Answers,
    *,
    back: str,
    made: str,
    largest: int = LARGEST,
) -> str:
    """The page; empty when no stream has two runs with outcomes.

    Args:
        streams: anchor of a section -> its stream, where the data is at hand. One whose examples are not those of the runs shows none.
        answers: what a run generated, ``split/row/task`` -> answers; empty for runs of images.
        back: address of the report beside it.
        largest: bytes of the page at most.
    """
    shown = [found for section in sections if (found := _shown(section, runs, streams.get(section.anchor), answers))]
    if not shown:
        return ""

    def page() -> str:
        return render("examples.html", data=json_in_page([_stream(one) for one in shown]), back=back, made=made)

    room = largest - len(page().encode())
    for item, holder, key in _contents(shown):
        room -= len(json_in_page(item).encode()) + AROUND
        if room < 0:
            break
        holder[key] = item
    return page()


def _shown(section: Section, runs: RunSet, stream: Stream | None, answers: Answers) -> _Shown | None:
    known = {record.run_id: record for record in runs.records}
    by_row = [
        [(row["label"], row["standing"], known[name]) for name in str(row["runs"]).split(",") if name]
        for row in section.part.to_dict("records")
    ]
    deepest = max(map(len, by_row), default=0)
    ordered = [found[place] for place in range(deepest) for found in by_row if place < len(found)][:MOST_RUNS]
    found = [(label, mark, record, runs.last_outcomes(record)) for label, mark, record in ordered]
    first = next((record for _, _, record, outcomes in found if outcomes), None)
    if first is None:
        return None
    keys = [("test", len(first.tasks), task) for task in range(len(first.tasks))]
    usable = [one for one in found if one[2].tasks == first.tasks and all(key in one[3] for key in keys)]
    usable = [one for one in usable if all(len(one[3][key]) == len(usable[0][3][key]) for key in keys)]
    if len(usable) < 2:
        return None
    scores = [np.stack([outcomes[key] for *_, outcomes in usable]) for key in keys]
    same = stream is not None and _digests(stream) == list(first.item_digests.get("test", []))
    texts = [answers(record) if first.scoring else {} for _, _, record, _ in usable]
    return _Shown(section, stream if same else None, [one[:3] for one in usable], scores, texts, [{} for _ in keys])


def _digests(stream: Stream) -> list[str]:
    """As records hold them."""
    return [text_hash(task.test.ids)[:16] for task in stream.tasks]


def _contents(shown: Sequence[_Shown]) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """What examples look like with where it is put, in turns over all tasks, on each first those on which runs differ."""
    queues = []
    for one in shown:
        for place, scores in enumerate(one.scores):
            task = one.task(place)
            if task is None:
                continue
            differ = scores.max(axis=0) != scores.min(axis=0)
            queues.append((one, place, task, iter(np.argsort(~differ, kind="stable").tolist())))
    while queues:
        left = []
        for one, place, task, order in queues:
            number = next(order, None)
            if number is None:
                continue
            left.append((one, place, task, order))
            yield _content(one, place, task, number), one.items[place], str(number)
        queues = left


def _content(one: _Shown, place: int, task: Task, number: int) -> dict[str, Any]:
    if isinstance(task, ImageTask):
        label = task.class_names[int(task.test.labels[number])]
        return {"image": _thumbnail(task.test, number), "is": label, "id": str(task.test.ids[number])}
    key = f"test/{len(one.scores)}/{place}"
    given = {
        str(run): _short(texts[key][number], ANSWER)
        for run, texts in enumerate(one.answers)
        if len(texts.get(key, ())) > number
    }
    text = {"prompt": _short(task.test.prompts[number], PROMPT), "is": _short(task.test.answers[number], ANSWER)}
    return {**text, "id": str(task.test.ids[number]), "said": given}


def _short(text: str, most: int) -> str:
    """The beginning and the end, between which the middle is left out."""
    return text if len(text) <= most else f"{text[: most // 2]} [...] {text[-most // 2 :]}"


def _thumbnail(examples: ImageExamples, number: int) -> str:
    """A data URI of the picture, reduced where it is large."""
    from PIL import Image

    picture = Image.fromarray(np.moveaxis(np.asarray(examples.pixels[number]), 0, -1))
    is_small = max(picture.size) <= LOSSLESS
    if not is_small:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer, kind = io.BytesIO(), "png" if is_small else "jpeg"
    if is_small:
        picture.save(buffer, format="PNG", optimize=True)
    else:
        picture.save(buffer, format="JPEG", quality=QUALITY)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def _stream(one: _Shown) -> dict[str, Any]:
    runs = []
    for number, (label, mark, record) in enumerate(one.runs):
        light, dark = method_colours(record.method)
        row = {"row": label, "mark": mark, "seed": record.config["seed"], "run": record.run_id, "light": light, "dark": dark}
        runs.append({**row, "scores": [_packed(scores[number]) for scores in one.scores]})
    names = one.runs[0][2].tasks
    tasks = [
        {"name": name, "count": scores.shape[1], "items": items, "known": one.task(place) is not None}
        for place, (name, scores, items) in enumerate(zip(names, one.scores, one.items, strict=True))
    ]
    return {"anchor": one.section.anchor, "title": one.section.title, "tasks": tasks, "runs": runs}


def _packed(scores: Scores) -> str:
    """``b`` and the bits of right and wrong, or ``g`` and a byte per graded score in steps of half a point, as base64."""
    if np.isin(scores, (0.0, 100.0)).all():
        return "b" + base64.b64encode(np.packbits(scores == 100.0).tobytes()).decode()
    return "g" + base64.b64encode(np.round(scores * 2).astype(np.uint8).tobytes()).decode()
