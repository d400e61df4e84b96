"""How published numbers were made and read: their protocols as fields of a run's config, their sources' grades, doubted cells.

The files ``published/protocols.yaml`` and ``published/sources.yaml`` hold all of it; nothing about a published row stands in code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from suite.runs.record import Record
from suite.yaml_files import parse_yaml

Scalar = str | int | float | bool | None
Grade = Literal["author's log", "author's text", "second-hand"]
SECOND_HAND: Grade = "second-hand"
ONLY_WHERE_SET = ("benchmark.limit", "backbone.chat_template")  # fields that stand in a config only where they are set


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedProtocol(_Frozen):
    """What a run must be to have attempted a published row; the head of ``protocols.yaml`` says what each field means.

    Attributes:
        published: the method's name as printed.
        method: the suite's method for it.
        settings: dotted field of the resolved config, or ``carrier`` of the record -> published value; of a list, each value says the
            same.
        tolerance: metric -> largest difference in points that counts as reproduced; empty where ``missing`` says why.
    """

    benchmark: str
    published: str
    method: str
    settings: Mapping[str, Scalar | tuple[Scalar, ...] | dict[str, Scalar]] = {}
    free: Mapping[str, str] = {}
    missing: str = ""
    tolerance: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    reason: str = ""

    @model_validator(mode="after")
    def _judged_or_not(self) -> PublishedProtocol:
        if bool(self.tolerance) == bool(self.missing):
            raise ValueError("needs either a tolerance or what is missing for one")
        return self

    def differences(self, record: Record) -> list[str]:
        """One clause per field in which the run's config is not the published one.

        A field such as ``benchmark.limit`` stands in a config only where it is set, and no published protocol sets it.
        """
        config = flat(record.config)
        ours = {**config, "carrier": record.carrier}
        fields = {key: wanted if isinstance(wanted, tuple) else (wanted,) for key, wanted in self.settings.items()}
        other = [
            _difference(key, ours, wanted[0]) for key, wanted in fields.items() if key not in ours or ours[key] not in wanted
        ]
        set_here = [key for key in ONLY_WHERE_SET if key in config]
        return [*other, *(f"{key} {_text(config[key])} (published without)" for key in set_here)]

    def covers(self, field: str) -> bool:
        """True if ``field`` of a resolved config is compared or free."""
        return field in self.settings or any(field == name or field.startswith(f"{name}.") for name in self.free)


class _Graded(_Frozen):
    source: str
    grade: Grade
    methods: tuple[str, ...] = ()
    reason: str = ""


class _Doubt(_Frozen):
    benchmark: str
    backbone: str
    method: str
    reason: str


class PublishedSources(_Frozen):
    """Grades of the sources and doubted cells."""

    grades: tuple[_Graded, ...]
    doubts: tuple[_Doubt, ...]

    def grade(self, source: str, method: str) -> Grade:
        """How a row was read; a source that is in no entry is taken for second-hand."""
        fitting = (e for e in self.grades if source.startswith(e.source) and (not e.methods or method in e.methods))
        return next((entry.grade for entry in fitting), SECOND_HAND)

    def doubt(self, benchmark: str, backbone: str, method: str) -> str:
        """Why the cells of this row are doubted; empty where they are not."""
        cell = (benchmark, backbone, method)
        return next((doubt.reason for doubt in self.doubts if (doubt.benchmark, doubt.backbone, doubt.method) == cell), "")


def judged_in(record: Record) -> str:
    """Number format in which the run was evaluated: what its config says, or what ``auto`` is on the hardware that it had."""
    training = record.config.get("training", {})
    asked = str(training.get("eval_precision", "auto"))
    if asked != "auto":
        return asked
    return "bf16" if record.hardware.get("bf16") else str(training.get("precision", "fp32"))


@cache
def published_protocols() -> tuple[PublishedProtocol, ...]:
    """Every entry of ``protocols.yaml``."""
    return TypeAdapter(tuple[PublishedProtocol, ...]).validate_python(_shipped("protocols.yaml"))


@cache
def published_sources() -> PublishedSources:
    """The content of ``sources.yaml``."""
    return PublishedSources.model_validate(_shipped("sources.yaml"))


def protocol_of(benchmark: str, published: str) -> PublishedProtocol | None:
    """The protocol of a published method on a benchmark of the suite; None when no method here is the published one."""
    fitting = (entry for entry in published_protocols() if (entry.benchmark, entry.published) == (benchmark, published))
    return next(fitting, None)


def flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty one is a value."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found


def _difference(key: str, ours: Mapping[str, Any], wanted: Any) -> str:
    own = _text(ours[key]) if key in ours else "not recorded"
    return f"{key} {own} (published {_text(wanted)})"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shipped(name: str) -> Any:
    return parse_yaml(files("suite.leaderboard").joinpath("published", name).read_text("utf-8"))
