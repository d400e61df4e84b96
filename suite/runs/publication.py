"""Runs in a folder that others read: what is copied there, what the folder promises of its files, and how a reader checks them.

A published folder is an output folder (``runs/<run id>``), so that every command reads it, with ``publication.json`` beside the runs:
who published each of them, and a checksum of every file. The checksums find what was damaged or changed by mistake. They are no
signature: whoever rewrites a whole folder can make new ones, which repeating a run shows and nothing else does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from suite.config import CONFIG, RunConfig, validate
from suite.errors import ConfigError, DamagedRun, SuiteError
from suite.files import atomic_write
from suite.hashing import canonical_hash, text_hash
from suite.runs.answers import answers_of
from suite.runs.generations import FORMER as FORMER_ANSWERS
from suite.runs.generations import GENERATIONS
from suite.runs.identity import run_code
from suite.runs.labels import FILE as LABELS
from suite.runs.labels import read_labels
from suite.runs.outcomes import FORMER, OUTCOMES, Key, Scores
from suite.runs.record import FIRST_SEALED, RECORD, Record
from suite.runs.record_shape import require_shape
from suite.runs.store import OpenRun, RunStore

SCHEMA = 1
MANIFEST = "publication.json"
LARGEST = 2**28  # bytes of it: some 200,000 runs
FILES = (RECORD, CONFIG, OUTCOMES, FORMER, GENERATIONS, FORMER_ANSWERS, LABELS)  # of a run; weights stay at home
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
LONGEST_GROUP = 64


def group_named(text: str) -> str:
    """The name of a group, as pages and tables show it.

    Raises:
        ConfigError: it is empty, too long, or holds what turns or hides the words beside it.
    """
    if not text or len(text) > LONGEST_GROUP or text != text.strip() or not text.isprintable():
        shown = text[:40] + ("..." if len(text) > 40 else "")
        raise ConfigError(
            f"group {shown!r}: is no name for a group; write 1 to {LONGEST_GROUP} characters on one line, without control characters "
            "and outer blanks."
        )
    return text


Group = Annotated[str, AfterValidator(group_named)]
FileName = Literal[FILES]  # type: ignore[valid-type]


class PublishedRun(BaseModel):
    """One run of a published folder.

    Attributes:
        groups: who published it.
        files: name -> sha256 of its bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    files: dict[FileName, str]


class Publication(BaseModel):
    """What ``publication.json`` says.

    Attributes:
        suite: version that wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    suite: str
    made_at: datetime
    runs: dict[RunId, PublishedRun] = Field(default_factory=dict)


def copy_run(source: Path, target: Path) -> dict[str, str]:
    """Copy what is published of a run's folder, byte by byte; name -> sha256.

    Raises:
        DamagedRun: one of the files is a link, which might lead anywhere.
    """
    digests = {}
    for name in FILES:
        file = source / name
        if file.is_symlink():
            raise DamagedRun(f"{file}: is a link; put the file itself there.")
        if file.is_file():
            data = file.read_bytes()
            atomic_write(target / name, data)
            digests[name] = hashlib.sha256(data).hexdigest()
    for name in set(FILES) - digests.keys():
        (target / name).unlink(missing_ok=True)  # of an earlier publication
    return digests


def write_publication(publication: Publication, folder: Path) -> None:
    """Write ``publication.json`` atomically."""
    text = json.dumps(publication.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    atomic_write(folder / MANIFEST, text.encode())


def read_publication(folder: Path) -> Publication:
    """What a published folder promises.

    Raises:
        ConfigError: it is none, is damaged, or has another schema.
    """
    file = folder / MANIFEST
    if file.is_symlink() and not file.exists():
        raise ConfigError(f"{file}: is a link that leads nowhere; put the file itself there, or fetch the folder again.")
    if file.exists() and not file.is_file():
        raise ConfigError(f"{file}: is no file; fetch the folder again.")
    if file.exists() and file.stat().st_size > LARGEST:
        raise ConfigError(
            f"{file}: has {file.stat().st_size >> 20} MiB, at most {LARGEST >> 20} can be read; fetch the folder again."
        )
    try:
        fields = json.loads(file.read_bytes())
        version = fields["schema_version"]
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: is not a published folder, it has no {MANIFEST}; 'codyra-suite leaderboard --publish FOLDER' makes one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file}: cannot be read ({str(error).splitlines()[0]}); fetch the folder again.") from None
    if version != SCHEMA:
        raise ConfigError(f"{file}: has schema {str(version)[:20]!r}, this suite reads {SCHEMA}; update the older of the two.")
    try:
        return Publication.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:120]
        raise ConfigError(f"{file}: {where}: {first['msg']}; fetch the folder again.") from None


def run_faults(folder: Path, run_id: str, published: PublishedRun | None) -> list[str]:
    """What is wrong with a run of a published folder, a sentence each; nothing when it can be believed.

    Args:
        published: what the folder promises of the run; None = nothing, as in an output folder.
    """
    place = RunStore(folder).folder(run_id)
    found = [] if published is None else _file_faults(place, published.files)
    try:
        run = RunStore(folder).open(run_id)
        if run is None:
            return [*found, f"there is no {RECORD}"]
        require_shape(run.record, RECORD)
        outcomes = run.outcomes()
        answers_of(run)
        read_labels(place)
    except SuiteError as error:
        return [*found, str(error)]
    return [*found, *_value_faults(run.record), *_unproved_faults(run, outcomes), *_identity_faults(run.record)]


def _file_faults(place: Path, promised: Mapping[str, str]) -> list[str]:
    found = []
    for name, digest in promised.items():
        file = place / name
        if file.is_symlink() or not file.is_file():
            found.append(f"{name} is {'a link' if file.is_symlink() else 'missing'}")
        elif _digest(file) != digest:
            found.append(f"{name} is not the file that was published (its checksum differs)")
    there = {path.name for path in place.iterdir()} if place.is_dir() else set()
    return [*found, *(f"{name} was not published" for name in sorted(there - promised.keys()))]


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _value_faults(record: Record) -> list[str]:
    """Cells that no run can have measured."""
    cells = [value for rows in (record.test, record.validation) for row in rows for value in row if value is not None]
    wrong = [value for value in cells if not (math.isfinite(value) and 0 <= value <= 100)]
    return [f"its matrices hold {wrong[0]}, scores lie between 0 and 100"] if wrong else []


def _unproved_faults(run: OpenRun, outcomes: Mapping[Key, Scores]) -> list[str]:
    """Cells without the outcomes that they are the means of, and outcomes that have no cell; records of before checksums may lack both."""
    record = run.record
    if not outcomes and record.schema_version < FIRST_SEALED:
        return []
    cells = {
        (split, row, task)
        for split, rows in (("test", record.test), ("validation", record.validation))
        for row, values in enumerate(rows)
        for task, value in enumerate(values)
        if value is not None
    }
    split, row, task = min(cells ^ outcomes.keys(), default=("", 0, 0))
    if not split:
        return []
    kind = "a cell without outcomes" if (split, row, task) in cells else "outcomes without a cell"
    return [f"there is {kind}: {split} of '{record.tasks[task]}' after task {row}"]


def _identity_faults(record: Record) -> list[str]:
    """Whether config, data and code give the run's id; told where the code is the one that is installed here.

    Everywhere the config has to be the one that the record's own hash names.
    """
    try:
        if canonical_hash(record.config) != record.config_hash:
            return ["its config is not the one that it was made with (config_hash differs)"]
    except ValueError:  # a number that is none
        return ["its config holds what no config can hold"]
    try:
        config = validate(RunConfig, record.config, where=record.run_id)
        if run_code(config) != record.code_version:
            return []
        expected = text_hash([canonical_hash(config.identity()), record.data_fingerprint, record.code_version])[:16]
    except (SuiteError, OSError):
        return []  # another version's config, a package or weights that are not here
    if config.settings_hash() != record.settings_hash:
        return ["its settings are not those that it was made with (settings_hash differs)"]
    return [] if expected == record.run_id else [f"its config and data give the id {expected}"]


def conflicts(one: Record, other: Record) -> list[str]:
    """In what two records of one run id contradict each other; one that is not finished says nothing against one that is."""
    if one.status != other.status:
        return []
    said, others = _said(one), _said(other)
    return [what for what in said if said[what] != others[what]]


def _said(record: Record) -> dict[str, object]:
    """What equal runs say alike on every machine: all but when, where and how fast they ran."""
    rows = record.results
    return {
        "accuracy": (record.test, record.validation),
        "outcomes of examples": [result.digests.get("outcomes") for result in rows],
        "effective rank": [(result.effective_rank, result.offered_rank, result.no_signal_rank) for result in rows],
        "trainable parameters": [result.costs.trainable_parameters for result in rows],
        "stream": (record.benchmark, record.setting, record.protocol, record.scoring, record.tasks, record.item_digests),
        "settings": record.settings_hash,
        "data": record.data_fingerprint,
        "code": record.code_version,
    }


def joined_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order of the alphabet."""
    return tuple(sorted(set(groups)))
