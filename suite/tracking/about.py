"""What a tracker may say of a run or a study beside what is recorded: a title, a description, and the command that it came from."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suite.proxies import without_password

PROGRAM, ENTRIES = "codyra-suite", ("suite.cli.main", "suite.cli.entry")


@dataclass(frozen=True)
class About:
    """Words and numbers for the readers of a tracker's pages.

    Attributes:
        title: that tells a run apart from its siblings; empty = the run's usual name.
        command: that the run or the study came from, as it was typed.
        text: a description in Markdown; empty = none.
        metrics: numbers of a study as a whole, by name.
    """

    title: str = ""
    command: str = ""
    text: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_fields(cls, fields: Any) -> About:
        """What ``fields`` gave as plain values; empty for anything else."""
        try:
            return cls(**fields)
        except TypeError:
            return cls()

    def fields(self) -> dict[str, Any]:
        """Plain values, for a note on disk."""
        return asdict(self)

    def digest(self) -> str:
        """Equal for equal words and numbers; empty without any. The command counts once, when a run is shown first."""
        said = {key: value for key, value in self.fields().items() if key != "command"}
        text = json.dumps(said, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16] if any(said.values()) else ""


def typed_command(words: Sequence[str] | None = None) -> str:
    """The command that this process was started by, without passwords; of a script or notebook its file name alone.

    Args:
        words: of the command line; None = those of this process.
    """
    first, *others = words or sys.argv or [""]
    name = Path(first).name
    is_suite = name == PROGRAM or any(
        Path(first).parts[-3:] == (*entry.split(".")[:-1], f"{entry.split('.')[-1]}.py") for entry in ENTRIES
    )
    return shlex.join([PROGRAM, *map(_shown, others)]) if is_suite else name


def _shown(word: str) -> str:
    option, sign, value = word.partition("=")
    return f"{option}{sign}{without_password(value)}" if sign and option.startswith("--") else without_password(word)
