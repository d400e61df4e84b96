"""What ``--json`` prints: any value as one JSON text on standard output, at full precision."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from suite.errors import ConfigError
from suite.files import is_standard_output


def print_json(value: object) -> None:
    """``value`` on standard output: tables as lists of rows, null for what was not measured."""
    typer.echo(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def require_free_output(as_json: bool, **files: Path | None) -> None:
    """Refuse ``--json`` beside a file that is standard output too.

    Raises:
        ConfigError: naming the option.
    """
    for name, file in files.items():
        if as_json and is_standard_output(file):
            raise ConfigError(f"--{name} {file} and --json both write to standard output; give one of them a file.")


def plain(value: Any) -> Any:
    """``value`` in types of JSON alone."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a DataFrame; pandas is not loaded to ask
        return [plain(row) for row in value.to_dict("records")]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path | datetime):
        return value.isoformat() if isinstance(value, datetime) else str(value)
    if hasattr(value, "item"):  # a number of NumPy
        return plain(value.item())
    return [plain(inner) for inner in value] if isinstance(value, Iterable) else str(value)
