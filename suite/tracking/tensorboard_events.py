"""Records as event files of TensorBoard: ``tensorboard:FOLDER``, shown by ``tensorboard --logdir FOLDER``.

Every run has one folder, ``[STUDY/]<benchmark>-<method>-seed<n>-id=<run id>``, and in it one event file with everything that its
record says. Event files can only grow, so a record that is told again replaces the file as a whole: nothing is in it twice.
Pictures have a file each beside it. Whole records are not in here; tables are made from the run folders.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from suite.errors import ConfigError
from suite.files import atomic_write
from suite.runs.record import Cells, Record
from suite.tracking.keys import config_fields
from suite.tracking.run_metrics import points, summary_metrics
from suite.tracking.tracker import Target, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SCHEME = "tensorboard:"
EVENTS = "events.out.tfevents."  # what TensorBoard knows its files by


class TensorBoardTracker(Tracker):
    """Event files below one folder of this machine."""

    name = "tensorboard"
    usable = "a folder that you may write"

    @property
    def folder(self) -> Path:
        return Path(self.uri.removeprefix(SCHEME)).expanduser()

    def check(self) -> None:
        named = self.uri.removeprefix(SCHEME)
        if not named or named.startswith("//"):
            raise ConfigError(
                f"tracking '{self.uri}': names no folder; write {SCHEME}FOLDER, for example {SCHEME}codyra-runs/events."
            )
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"tracking '{self.uri}': the package 'tensorboard' is not installed; install it with pip install 'codyra-suite[tensorboard]', "
                "or name another --tracking."
            ) from None
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            """It can be written."""

    def log_study(self, name: str, config: Mapping[str, Any], *, finished: bool | None) -> None:
        state = {None: "running", False: "interrupted", True: "finished"}[finished]

        def write(writer: SummaryWriter) -> None:
            writer.add_text("study/state", state)
            writer.add_text("study/settings", _code(f"{key}: {value}" for key, value in config_fields(config)))

        _replace(self.folder / name / f"{EVENTS}study", write)

    def log_run(self, record: Record) -> None:
        folder = self._run(record.run_id) or self.folder.joinpath(*list(record.trials)[:1], _folder_name(record))
        _replace(folder / f"{EVENTS}run", lambda writer: _write_run(writer, record))

    def attach(self, target: Target, files: Sequence[Path], place: str) -> bool:
        """PNG files become images; other forms of the same picture are left out."""
        folder = self._target(target)
        if folder is None:
            return False
        for file in files:
            if file.suffix == ".png":
                _replace(_picture(folder, place, file), partial(_write_image, tag=f"{place}/{file.stem}", file=file))
        return True

    def holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        folder = self._target(target)
        shown = [(file, _picture(folder, place, file)) for file in files if file.suffix == ".png"] if folder else []
        return bool(shown) and all(
            events.is_file() and events.stat().st_mtime >= file.stat().st_mtime for file, events in shown
        )

    def log_table(self, study: str, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        title = name.partition(".")[0]
        rows = [[str(cell) for cell in row] for row in zip(*columns.values(), strict=True)]
        _replace(
            self.folder / study / f"{EVENTS}table.{title}",
            lambda writer: writer.add_text(f"study/{title}", _table(list(columns), rows)),
        )

    def pages(self) -> Sequence[str]:
        return (f"tensorboard --logdir {shlex.quote(str(self.folder))}",)

    @classmethod
    def local_place(cls, uri: str) -> Path | None:
        return Path(uri.removeprefix(SCHEME))

    def _target(self, target: Target) -> Path | None:
        folder = self._run(target.name) if target.kind == "run" else self.folder / target.name
        return folder if folder is not None and folder.is_dir() else None

    def _run(self, run_id: str) -> Path | None:
        """The folder that a run has, below the study that it was logged under first."""
        for pattern in (f"*-id={run_id}", f"*/*-id={run_id}"):
            for folder in self.folder.glob(pattern):
                return folder
        return None


def _folder_name(record: Record) -> str:
    words = f"{record.benchmark}-{record.method}-seed{record.config['seed']}"
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', words)}-id={record.run_id}"


def _picture(folder: Path, place: str, file: Path) -> Path:
    return folder / f"{EVENTS}{place}.{file.stem}"


def _replace(file: Path, write: Callable[[SummaryWriter], None]) -> None:
    """Let ``write`` fill an event file, which takes the place of ``file`` when it is whole."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory(prefix="codyra-events-") as scratch:
        writer = SummaryWriter(scratch)
        try:
            write(writer)
            writer.flush()  # raises what the writer's own thread met
        finally:
            writer.close()
        (events,) = Path(scratch).iterdir()
        atomic_write(file, events.read_bytes())


def _write_run(writer: SummaryWriter, record: Record) -> None:
    from torch.utils.tensorboard.summary import hparams

    at = record.started_at.timestamp()
    events: Any = writer.file_writer  # opened by SummaryWriter, which declares it as None
    summary = summary_metrics(record)
    experiment, start, end = hparams({key: _value(value) for key, value in config_fields(record.config)}, summary)
    for part in (experiment, start, *([end] if record.status == "finished" else [])):
        events.add_summary(part, walltime=at)
    for step, key, value in points(record):
        writer.add_scalar(key, value, step, walltime=at + step)
    done = record.tasks_done
    for split, cells in (("test", record.test), ("validation", record.validation)):
        writer.add_text(f"matrix/{split}", _matrix(cells, record.tasks), done, walltime=at)
    about = {
        "run_id": record.run_id,
        "status": record.status,
        "reason": record.reason or "",
        "studies": ", ".join(record.trials),
    }
    about |= {"data": record.data_fingerprint, "code": record.code_version, "commit": record.commit or ""}
    writer.add_text("run", _table(["", ""], [[key, value] for key, value in about.items() if value]), done, walltime=at)
    writer.add_text("config", _code(f"{key}: {value}" for key, value in config_fields(record.config)), done, walltime=at)


def _write_image(writer: SummaryWriter, *, tag: str, file: Path) -> None:
    import numpy as np
    from PIL import Image

    with Image.open(file) as image:
        writer.add_image(tag, np.asarray(image.convert("RGB")), dataformats="HWC")


def _value(value: Any) -> int | float | str:
    """What the table of hyperparameters sorts by: numbers stay numbers."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _matrix(cells: Cells, tasks: Sequence[str]) -> str:
    heads = ["nothing", *tasks]
    rows = [[heads[row], *("" if value is None else f"{value:.2f}" for value in values)] for row, values in enumerate(cells)]
    return _table(["after", *tasks], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, which is what TensorBoard shows text as."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "&#124;") for cell in line) + " |" for line in lines)


def _code(lines: Iterator[str]) -> str:
    return indent("\n".join(lines), "    ")
