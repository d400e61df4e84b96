"""Beginnings: runs that have learned the same so far, and which of them has stored the state after it.

Two runs with equal names of the state after k tasks reach it bit for bit. A name is a hash over all that can have a say in it: code,
backbone, reference set, seed, machine, the first k tasks with their data in their order, the budget of each, and of the method's settings
those that matter for them (``MethodConfig.beginning``). What follows the k tasks counts where the method may know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from suite.benchmarks.stream import Stream
from suite.config import RunConfig
from suite.hashing import canonical_hash, text_hash
from suite.parts import MethodConfig
from suite.runs.identity import run_code
from suite.runs.locking import locked, this_process, write_lock


def beginning_names(config: RunConfig, stream: Stream, machine: Mapping[str, Any]) -> list[str]:
    """Names of the states after the first, the second, ... and the last task of ``stream``, each 16 hex digits.

    Args:
        machine: what else decides the last bit: processor or card, threads, versions, what the learner says of the stream.
    """
    names, tasks = stream.task_names, [text_hash(task.identity()) for task in stream.tasks]
    budgets = [config.training.of_task(name).model_dump(mode="json", exclude={"per_task"}) for name in names]
    parts = (part for part in config.method.with_parts_inside() if isinstance(part, MethodConfig))
    later = any(part.knows_later_tasks for part in parts)
    benchmark = {key: value for key, value in config.benchmark.identity().items() if key not in config.benchmark.chooses}
    alike = [
        run_code(config),
        benchmark,
        config.backbone.identity(),
        None if config.references is None else config.references.identity(),
        config.seed,
        [stream.protocol.value, stream.scoring, stream.shared_classes],
        dict(machine),
    ]
    return [
        canonical_hash(
            [
                alike,
                config.method.beginning(names[:done]),
                done,
                *((tasks, budgets) if later else (tasks[:done], budgets[:done])),
            ]
        )[:16]
        for done in range(1, len(names) + 1)
    ]


@dataclass(frozen=True)
class Turn:
    """The right to find or make the state with one name; nobody else has it at the same time.

    Attributes:
        known: id of the run that was last noted to have it; it may be gone.
    """

    known: str | None
    file: TextIO

    def note(self, run_id: str) -> None:
        """From now on ``run_id`` has the state."""
        write_lock(self.file, run_id, "")


class Beginnings:
    """Name of a state -> id of the run that has it, a small file each below ``<out>/beginnings``.

    The file is a hint: whoever follows it looks whether the run's record still says so. While a run makes the state, the file is
    locked, so that others wait for it instead of making it too. A process holds one such lock at a time and waits for nothing while
    it does; one that is killed lets go.
    """

    def __init__(self, out: Path) -> None:
        self.place = out / "beginnings"

    def known(self, name: str) -> str | None:
        """The run that was last noted to have the state; None when there is none, or it is being made."""
        try:
            return self._path(name).read_text(encoding="utf-8").partition("\n")[0] or None
        except (OSError, ValueError):
            return None

    @contextmanager
    def turn(self, name: str, wait: Callable[[str], None]) -> Iterator[Turn]:
        """Wait until nobody else makes the state; ``wait`` is told who does."""
        with locked(self._path(name), wait) as file:
            file.seek(0)
            known = file.read().partition("\n")[0]
            write_lock(file, known, this_process())
            yield Turn(known or None, file)

    def _path(self, name: str) -> Path:
        return self.place / name[:2] / name[2:]
