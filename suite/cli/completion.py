"""What the shell offers behind an option or argument that takes a name; nothing where it cannot be found out quickly."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import typer

from suite.workflows.places import OUT


def benchmarks(incomplete: str) -> list[str]:
    from suite.registry import BENCHMARKS

    return _beginning(incomplete, BENCHMARKS)


def methods(incomplete: str) -> list[str]:
    from suite.registry import METHODS

    return _beginning(incomplete, METHODS)


def backbones(incomplete: str) -> list[str]:
    from suite.registry import BACKBONES

    return _beginning(incomplete, BACKBONES)


def spaces(incomplete: str) -> list[str]:
    from suite.registry import SPACES

    return _beginning(incomplete, SPACES)


def metrics(incomplete: str) -> list[str]:
    from suite.metrics.conventions import METRICS

    return _beginning(incomplete, METRICS)


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of the runs below ``--out``, and the tags that they have."""
    from suite.runs.store import RunStore

    return _beginning(incomplete, _folders(RunStore(_out(context)).place)) + tags(context, incomplete)


def tags(context: typer.Context, incomplete: str) -> list[str]:
    from suite.runs.labels import all_labels
    from suite.runs.store import RunStore

    found = all_labels(RunStore(_out(context)).place).values()
    return _beginning(incomplete, sorted({tag for labels in found for tag in labels.tags}))


def studies(context: typer.Context, incomplete: str) -> list[str]:
    return _beginning(incomplete, _folders(_out(context) / "studies"))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _folders(place: Path) -> list[str]:
    found: list[str] = []
    with suppress(OSError):
        found = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    return found


def _out(context: typer.Context) -> Path:
    """The folder that was named on the line so far, else the default."""
    return Path(context.params.get("out") or OUT)
