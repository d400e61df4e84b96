"""Row 0 of the accuracy matrix: the untouched backbone, measured once and shared by all runs on the same data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from suite.backbones.learner import Outcomes
from suite.config import RunConfig
from suite.errors import DataError
from suite.files import atomic_write
from suite.hashing import canonical_hash
from suite.runs.generations import answers_digest, read_generations, write_generations
from suite.runs.identity import code_version
from suite.runs.outcomes import outcomes_digest, read_outcomes, write_outcomes
from suite.runs.record import TaskResult, opened, sealed
from trainables.precision import evaluation_precision
from trainables.stream_trainer import EVALUATED, Scores, StreamTrainer, TaskReport


def row_zero_folder(config: RunConfig, fingerprint: str, device: torch.device, out: Path) -> Path:
    """Where runs below ``out`` on equal backbone, data, code and precision of evaluation share what the untouched backbone says."""
    precision = evaluation_precision(config.training, device)
    code = code_version(config.benchmark, config.backbone)
    return out / "zero_shot" / canonical_hash([config.backbone.identity(), fingerprint, code, precision])


def zero_shot_row(trainer: StreamTrainer, folder: Path) -> TaskReport:
    """Row 0, measured once and kept in ``folder``; what is damaged there, or was copied there from another, is measured again.

    Of several workers the first one does it; where none has the whole network the others pass it meanwhile.
    """
    group, tasks = trainer.group, len(trainer.stream)
    if group.shards:
        report = group.from_first(lambda: _found_row(folder, tasks))
        return report or _measured(trainer, folder)
    return group.from_first(lambda: _found_row(folder, tasks) or _measured(trainer, folder))


def _found_row(folder: Path, tasks: int) -> TaskReport | None:
    try:
        return _shared_row(folder, tasks)
    except DataError:
        return None


def require_published(config: RunConfig, report: TaskReport, tasks: Sequence[str]) -> None:
    """Compare row 0 with the benchmark's published zero-shot values when the run has the backbone they belong to.

    Raises:
        DataError: a value is off by more than the benchmark's tolerance: preprocessing, tokenizer, prompts or weights drifted.
    """
    benchmark, backbone = config.benchmark, config.resolved()["backbone"]
    if benchmark.limit is not None:
        return  # a mean over a few rows is not the published one
    if not benchmark.published_zero_shot or any(backbone.get(key) != value for key, value in benchmark.backbone.items()):
        return
    measured = {task: o.mean for task, o in zip(tasks, report.outcomes["test"], strict=True) if o is not None}
    if not benchmark.restricted:  # the published mean is that of the whole stream
        measured["mean"] = sum(measured.values()) / len(measured)
    off = [
        f"{task} {measured[task]:.1f} instead of {value:.1f}"
        for task, value in benchmark.published_zero_shot.items()
        if task in measured and abs(measured[task] - value) > benchmark.published_zero_shot_tolerance
    ]
    if off:
        raise DataError(
            f"{benchmark.name}: zero-shot accuracy is not the published one ({'; '.join(off)}, tolerance "
            f"{benchmark.published_zero_shot_tolerance:g}); check weights, preprocessing and prompts with 'codyra-suite data verify', or add "
            "--accept-zero-shot."
        )


def _measured(trainer: StreamTrainer, folder: Path) -> TaskReport:
    report = trainer.first_row()

    def kept() -> TaskReport:
        _keep(report, folder)
        return _shared_row(folder, len(trainer.stream))

    return trainer.group.from_first(kept) if trainer.group.shards else kept()


def _keep(report: TaskReport, folder: Path) -> None:
    found = {(s, t): o for s in EVALUATED for t, o in enumerate(report.outcomes[s]) if o is not None}
    write_generations({f"{s}/0/{t}": list(o.texts) for (s, t), o in found.items() if o.texts}, folder)
    # Not rounded: the runs average these scores, as they average those of their own rows before they store them.
    write_outcomes({(s, 0, t): o.scores for (s, t), o in found.items()}, folder, np.float32)
    row = {
        "name": folder.name,
        "ties": [o.ties for o in found.values()],
        "result": report.result.model_dump(mode="json"),
        **_digests(folder),
    }
    atomic_write(folder / "row.json", sealed(row))


def _digests(folder: Path) -> dict[str, str]:
    """Checksums of what ``folder`` holds beside the row itself."""
    return {"outcomes": outcomes_digest(read_outcomes(folder), 0), "answers": answers_digest(read_generations(folder, 0), 0)}


def _shared_row(folder: Path, tasks: int) -> TaskReport:
    try:
        stored: dict[str, Any] = opened(json.loads((folder / "row.json").read_bytes()), where=str(folder / "row.json"))
        if stored["name"] != folder.name:
            raise ValueError(f"it is the row of {stored['name']}")
        if {name: stored[name] for name in ("outcomes", "answers")} != _digests(folder):
            raise ValueError("its outcomes or answers have changed")
        scores, texts, ties = read_outcomes(folder), read_generations(folder, 0), iter(stored["ties"])
        outcomes: Scores = {
            split: [
                Outcomes(scores[(split, 0, task)], tuple(texts.get(f"{split}/0/{task}", ())), next(ties))
                for task in range(tasks)
            ]
            for split in EVALUATED
        }
        return TaskReport(TaskResult.model_validate(stored["result"]), outcomes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(f"{folder}: holds no whole row ({error}); remove it.") from None
