"""The record: the stored truth of a run. Versioned schema, written atomically, read back strictly.

A run's folder holds ``record.json`` (this schema) and ``outcomes.rows`` (per-example scores, see ``suite.runs.outcomes``); only
``suite.runs.store`` knows where it is. Metrics are functions of the record and are never stored as the only copy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suite.errors import DamagedRun, unknown_name
from suite.files import atomic_write
from suite.method_titles import method_title

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 4  # 2: reused_by; 3: checksums of the record and of what its rows stand on; 4: beginnings, what was taken over
RECORD = "record.json"
Cells = list[list[float | None]]  # (rows measured so far, T); None where not measured
SEAL, FIRST_SEALED = "checksum", 3
Status = Literal["running", "finished", "stopped", "failed"]


class TaskCosts(BaseModel):
    """What one task cost. Times in seconds, sizes in bytes; device figures are null without an accelerator.

    Attributes:
        wait_seconds: part of ``train_seconds`` in which steps waited for their batches; null where it was not measured.
        borrowed_seconds: part of ``wall_seconds`` that another run spent, from whose state this one went on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    wall_seconds: float
    train_seconds: float
    evaluate_seconds: float
    device_seconds: float | None
    peak_bytes: int
    device_peak_bytes: int | None
    wait_seconds: float | None = None
    borrowed_seconds: float = 0.0
    trainable_parameters: int
    carried_bytes: int


class TaskResult(BaseModel):
    """What one row of the matrices says beside accuracy; row 0 (no training) has no ranks.

    Attributes:
        effective_rank: parts left per slot after pruning.
        no_signal_rank: what schedule and initialisation alone would leave per slot; null where rank is not learned.
        update_norm: Frobenius norm of the task's update per slot; slots whose update depends on the input have none.
        cumulative_norm: Frobenius norm of the whole shift since the pretrained weights per slot.
        train_loss: mean task loss over the last tenth of the steps.
        digests: sha256 of what the row stands on: ``outcomes`` and ``answers`` by content, the checkpoint files ``merged`` and
            ``state`` byte by byte; empty in records of schema 2 and in those that have no such thing.
        beginning: name of the state after the row (``suite.runs.beginnings``), equal for runs that have learned the same so far; null
            where it is not known, as after a change of machine.
        taken_from: run that learned the row; null = this one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    task: str | None
    costs: TaskCosts
    effective_rank: dict[str, int] = Field(default_factory=dict)
    offered_rank: int | None = None
    no_signal_rank: float | None = None
    update_norm: dict[str, float] = Field(default_factory=dict)
    cumulative_norm: dict[str, float] = Field(default_factory=dict)
    train_loss: float | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    beginning: str | None = None
    taken_from: str | None = None


class Record(BaseModel):
    """Stored truth of one run.

    Attributes:
        validation, test: accuracy matrices, rows 0..k, NaN as null; row 0 = untouched backbone.
        status: ``finished``; ``stopped`` (by a stopping rule, after the last row); ``failed`` (``reason`` says why).
        study, trial: of the study whose trial made the run.
        reused_by: study -> its trial that asked for the same run, which was not trained again.
        traits: what the method is, as tables show it: ``decision``, ``task_id_at_test``, ``extra_data``, ``mergeable``; empty in records
            of before schema 3.
        selection: rule by which tables choose among the trials of ``study``; null = the default one.
        item_digests: per split and task a hash over the example ids, so that outcomes of two runs can be paired.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]  # names folders and files
    config: dict[str, Any]
    config_hash: str
    settings_hash: str
    data_fingerprint: str
    code_version: str
    commit: str | None
    dirty: bool | None
    versions: dict[str, str]
    hardware: dict[str, Any]
    benchmark: str
    setting: dict[str, Any]
    protocol: str
    scoring: str | None
    metrics: list[str]
    tasks: list[str]
    item_digests: dict[str, list[str]]
    validation: Cells = Field(default_factory=list)
    test: Cells = Field(default_factory=list)
    results: list[TaskResult] = Field(default_factory=list)
    status: Status = "running"
    reason: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    traits: dict[str, bool | str] = Field(default_factory=dict)
    carrier: str = "direct"
    study: str | None = None
    trial: int | None = None
    reused_by: dict[str, int] = Field(default_factory=dict)
    selection: str | None = None

    @property
    def method(self) -> str:
        """The method as tables show it, with the one inside it: ``replay + codyra``."""
        return method_title(self.config["method"])

    @property
    def tasks_done(self) -> int:
        return max(0, len(self.test) - 1)

    def matrix(self, split: Literal["test", "validation"] = "test") -> pd.DataFrame:
        """The accuracy matrix: a row per task learned so far below the untouched backbone's, a column per task; NaN = not measured.

        Raises:
            ConfigError: ``split`` is neither of the two.
        """
        import pandas as pd

        matrices = {"test": self.test, "validation": self.validation}
        if str(split) not in matrices:  # whatever it is
            raise unknown_name("split", str(split), matrices, where="matrix")
        cells = matrices[split]
        after = pd.Index(["nothing", *self.tasks][: len(cells)], name="after")
        return pd.DataFrame(cells, index=after, columns=self.tasks, dtype=float)

    @property
    def trials(self) -> dict[str, int]:
        """Study -> number of its trial, for every study that the run belongs to."""
        made = {} if self.study is None else {self.study: self.trial or 0}
        return {**made, **self.reused_by}


def setting_text(setting: Mapping[str, Any]) -> str:
    """A stream's setting as tables show it: ``shots 4, splits (news: 2 train rows dropped)``."""
    return ", ".join(f"{key} {_words(value)}" for key, value in setting.items())


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + "; ".join(f"{key}: {_words(inner)}" for key, inner in value.items()) + ")"
    return ", ".join(map(_words, value)) if isinstance(value, (list, tuple)) else str(value)


def write_record(record: Record, folder: Path) -> Path:
    """Write ``record.json`` into ``folder`` atomically, sealed and in the newest schema, and return its path."""
    fields = json.loads(record.model_dump_json())
    path = folder / RECORD
    atomic_write(path, sealed({**fields, "schema_version": SCHEMA_VERSION}))
    return path


def read_record(path: Path) -> Record:
    """The record in ``path`` (a file, or a run's folder).

    Raises:
        DamagedRun: missing, unreadable, changed since it was written, or written by a newer schema.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        return parse_record(file.read_bytes(), where=str(file))
    except FileNotFoundError:
        raise DamagedRun(f"{file}: there is no record; give the folder of a run.") from None
    except OSError as error:
        raise DamagedRun(
            f"{file}: the record cannot be read ({error.strerror}); make it readable or give another run."
        ) from None


def parse_record(data: bytes | str, *, where: str) -> Record:
    """The record in JSON text; ``where`` names its source in errors. Records of older schemas carry no seal and are read as they are."""
    try:
        fields = json.loads(data)
        version = fields["schema_version"]
        if version > SCHEMA_VERSION:
            raise DamagedRun(f"{where}: has schema {version}, this suite reads up to {SCHEMA_VERSION}; update the suite.")
        if version >= FIRST_SEALED or SEAL in fields:
            fields = opened(fields, where=where)
        return Record.model_validate(fields)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise DamagedRun(f"{where}: is not a record ({str(error).splitlines()[0]}); remove it and run again.") from None


def sealed(fields: dict[str, Any]) -> bytes:
    """``fields`` as JSON with a checksum over all of them, for ``opened``."""
    return (json.dumps({**fields, SEAL: _checksum(fields)}, indent=1, ensure_ascii=False) + "\n").encode()


def opened(fields: dict[str, Any], *, where: str) -> dict[str, Any]:
    """``fields`` without their checksum.

    Raises:
        DamagedRun: there is none, or they are not the ones that were sealed.
    """
    inner = {key: value for key, value in fields.items() if key != SEAL}
    if fields.get(SEAL) != _checksum(inner):
        raise DamagedRun(
            f"{where}: has changed since it was written (its checksum differs); put back a copy, or remove the folder and run again."
        )
    return inner


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
