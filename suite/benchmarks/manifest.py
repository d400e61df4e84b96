"""Frozen lists of what a benchmark draws, and the check of a data root against them.

A manifest holds, per task, the sizes found on disk, the class names, the templates and every split as identities and
labels in order. Written on one machine and verified on another it proves that both train and test on the same images.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from suite.benchmarks.image_plan import PlannedBenchmark, TaskPlan, plan_all, plan_one
from suite.counting import counted
from suite.data.examination import Examined, copies, examine
from suite.data.examples import SPLITS, Split
from suite.data.items import ImageItems
from suite.errors import DataError
from suite.files import read_bytes, write_output
from suite.hashing import text_hash

SCHEMA = 2  # 2: content hashes
REMEDY = "write one with 'codyra-suite data manifest'"
SHOWN = 3  # identities named in one finding


class SplitList(BaseModel):
    """One split: identities and labels in training order, and the hash over identities and stored bytes of all images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: list[str]
    labels: list[int]
    content: str


class TaskManifest(BaseModel):
    """What ``TaskPlan`` holds, without the place of the files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    class_names: list[str]
    train_templates: list[str]
    eval_templates: list[str]
    found: dict[str, int]
    splits: dict[str, SplitList]


class Manifest(BaseModel):
    """All tasks of a benchmark; ``digest`` is the hash of everything else in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    benchmark: dict[str, Any]
    tasks: list[TaskManifest]
    digest: str

    def expected_digest(self) -> str:
        return text_hash([self.model_copy(update={"digest": ""}).model_dump_json()])


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: where, and one sentence that ends without a full stop."""

    task: str
    what: str


def manifest_of(benchmark: PlannedBenchmark, data_root: Path, read: Callable[[int], None] = lambda count: None) -> Manifest:
    """The manifest of a benchmark as the data root has it now; DataError when a task or a picture cannot be read."""
    tasks = []
    for plan in plan_all(benchmark, data_root):
        examined = {split: examine(plan.items(split), read) for split in SPLITS}
        faults = [fault for split in SPLITS for fault in examined[split].faults]
        if faults:
            raise DataError(f"{faults[0]}{f' ({len(faults)} such images in all)' if len(faults) > 1 else ''}.")
        tasks.append(_task_manifest(plan, examined))
    manifest = Manifest(version=SCHEMA, benchmark=benchmark.model_dump(mode="json"), tasks=tasks, digest="")
    return manifest.model_copy(update={"digest": manifest.expected_digest()})


def write_manifest(manifest: Manifest, path: Path) -> None:
    """JSON, compressed when the name ends in ``.gz``; DataError when no file can stand at ``path``."""
    content = manifest.model_dump_json(indent=None).encode() + b"\n"
    write_output(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read_manifest(path: Path) -> Manifest:
    """A manifest file.

    Raises:
        DataError: no such file, not a manifest, or changed by hand since it was written.
    """
    content = read_bytes(path, REMEDY)
    try:
        manifest = Manifest.model_validate_json(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, zlib.error, ValidationError):
        raise DataError(f"{path}: is not a manifest; {REMEDY}.") from None
    if manifest.version != SCHEMA:
        raise DataError(f"{path}: has schema {manifest.version}, this code reads {SCHEMA}; write it again.")
    if manifest.digest != manifest.expected_digest():
        raise DataError(f"{path}: does not have the digest it was written with; fetch or write it again.")
    return manifest


def verify(
    benchmark: PlannedBenchmark,
    data_root: Path,
    manifest: Manifest | None = None,
    read: Callable[[int], None] = lambda count: None,
) -> list[Finding]:
    """Everything that differs from the shipped facts and, when there is one, from a manifest; empty when all is well.

    All tasks are looked at, also after a fault: splits, labels, class names, templates, few-shot draws, whether every image
    is there and can be decoded, whether its bytes are those of the manifest, and whether a test image is, byte for byte,
    also a training or validation image (not said of images whose bytes a manifest has frozen just so). ``read`` is told how
    many images of the split at hand were read.
    """
    findings = [] if manifest is None else _settings(benchmark.model_dump(mode="json"), manifest.benchmark)
    frozen = {task.name: task for task in manifest.tasks} if manifest else {}
    names = benchmark.task_names(data_root)
    if manifest is not None and [task.name for task in manifest.tasks] != names:
        findings.append(Finding("stream", f"has the tasks {', '.join(names)}; the manifest {', '.join(frozen)}"))
    for name in names:
        try:
            plan = plan_one(benchmark, data_root, name)
        except DataError as error:
            findings.append(Finding(name, str(error).rstrip(".")))
            continue
        examined = {split: examine(plan.items(split), read) for split in SPLITS}
        ours = _task_manifest(plan, examined)
        whats = [*_missing_files(plan), *_unreadable(plan, examined), *benchmark.differences(plan)]
        whats += _differences(ours, frozen[name]) if name in frozen else []
        if name not in frozen or any(ours.splits[split] != frozen[name].splits[split] for split in SPLITS):
            whats += _copied(plan, examined)
        findings += [Finding(name, what) for what in whats]
    return findings


def _task_manifest(plan: TaskPlan, examined: Mapping[Split, Examined]) -> TaskManifest:
    return TaskManifest(
        name=plan.name,
        class_names=list(plan.class_names),
        train_templates=list(plan.train_templates),
        eval_templates=list(plan.eval_templates),
        found=dict(plan.found),
        splits={
            split: SplitList(ids=list(items.ids), labels=items.labels.tolist(), content=examined[split].content)
            for split in SPLITS
            for items in (plan.items(split),)
        },
    )


def _settings(ours: dict[str, Any], theirs: dict[str, Any]) -> list[Finding]:
    return [
        Finding("settings", f"{key} is {ours.get(key)!r}; the manifest was written with {theirs.get(key)!r}")
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _missing_files(plan: TaskPlan) -> Iterator[str]:
    for split in SPLITS:
        items = plan.items(split)
        missing = [item for item in dict.fromkeys(items.ids) if not _is_there(items, item)]
        if missing:
            first = ", ".join(items.source.where(item) for item in missing[:SHOWN])
            yield f"{len(missing)} of {counted(len(items), f'{split} image')} missing: {first}{_more(missing)}"


def _unreadable(plan: TaskPlan, examined: Mapping[Split, Examined]) -> Iterator[str]:
    """Pictures that are there but cannot be read or decoded."""
    for split in SPLITS:
        faults = [fault for fault in examined[split].faults if "there is no such file" not in fault]
        if faults:
            yield f"{len(faults)} of {counted(len(plan.items(split)), f'{split} image')} damaged: {'; '.join(faults[:SHOWN])}{_more(faults)}"


def _copied(plan: TaskPlan, examined: Mapping[Split, Examined]) -> Iterator[str]:
    found = copies(examined["test"].digests, [examined["train"].digests, examined["validation"].digests])
    if found:
        named = [f"{one} = {two}" for one, two in found.items()]
        yield f"{counted(len(found), 'test image')} also in training or validation, byte for byte: {_first(named)}"


def _is_there(items: ImageItems, item: str) -> bool:
    try:
        items.source.stamp(item)
    except OSError:
        return False
    return True


def _differences(ours: TaskManifest, theirs: TaskManifest) -> Iterator[str]:
    for part in ("train", "validation", "test"):
        found, frozen = ours.found.get(part), theirs.found.get(part)
        if found != frozen:
            yield f"the {part} part on disk has {counted(found or 0, 'image')}; the manifest says {frozen}"
    yield from _sequence_difference("class names", ours.class_names, theirs.class_names)
    yield from _sequence_difference("training templates", ours.train_templates, theirs.train_templates)
    yield from _sequence_difference("evaluation templates", ours.eval_templates, theirs.eval_templates)
    for split in SPLITS:
        yield from _split_difference(split, ours.splits[split], theirs.splits[split])


def _sequence_difference(what: str, ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    if len(ours) != len(theirs):
        yield f"has {len(ours)} {what}; the manifest has {len(theirs)}"
        return
    wrong = [position for position, (one, two) in enumerate(zip(ours, theirs, strict=True)) if one != two]
    if wrong:
        shown = "; ".join(f"number {k} is {ours[k]!r} instead of {theirs[k]!r}" for k in wrong[:SHOWN])
        yield f"{what}: {shown}{_more(wrong)}"


def _split_difference(split: str, ours: SplitList, theirs: SplitList) -> Iterator[str]:
    mine, frozen = dict(zip(ours.ids, ours.labels, strict=True)), dict(zip(theirs.ids, theirs.labels, strict=True))
    absent = [item for item in frozen if item not in mine]
    extra = [item for item in mine if item not in frozen]
    wrong = [item for item, label in mine.items() if item in frozen and frozen[item] != label]
    if absent:
        yield f"{split}: {counted(len(absent), 'image')} of the manifest not drawn: {_first(absent)}"
    if extra:
        yield f"{split}: {counted(len(extra), 'image')} drawn that the manifest lacks: {_first(extra)}"
    if wrong:
        shown = ", ".join(f"{item} has label {mine[item]} instead of {frozen[item]}" for item in wrong[:SHOWN])
        yield f"{split}: {counted(len(wrong), 'label')} other than the manifest's: {shown}{_more(wrong)}"
    if not absent and not extra and not wrong and ours.ids != theirs.ids:
        yield f"{split}: the same images come in another order or number"
    if ours.content and ours.ids == theirs.ids and ours.content != theirs.content:
        yield f"{split}: other bytes than the manifest's among its {counted(len(ours.ids), 'image')}: replaced or exchanged files"


def _first(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + _more(items)


def _more(found: Sequence[object]) -> str:
    return f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
