"""Configs of a run: load from YAML, override from the command line, resolve defaults, freeze, hash.

Every default stands in exactly one place: a method's in its config class, a budget's in the benchmark's ``budget``.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from suite.errors import ConfigError, nearest
from suite.files import atomic_write
from suite.hashing import canonical_hash
from suite.parts import (
    BackboneConfig,
    BenchmarkConfig,
    MethodConfig,
    ReferencesConfig,
    TrainingConfig,
    named_fields,
    part_class,
    validated_part,
)
from suite.registration import Registry
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.settings import Settings
from suite.yaml_files import parse_yaml

Model = TypeVar("Model", bound=BaseModel)
CONFIG = "config.yaml"  # a run's own, in its folder
LONGEST_SHOWN = 80  # characters of a value in an error
MOST_CLAUSES = 20  # wrong fields named in one error
UNION_MEMBER = re.compile(r"^(constrained-)?(str|int|float|bool|path)$|^(literal|tuple|list|dict|function-\w+)\[")
TAKES = {  # what Pydantic says in words of Python alone
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "takes a list, as in [a, b]"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "takes fields, as in {field: value}"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "takes a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "takes a number"),
}


class RunConfig(Settings):
    """One stream, one method, one backbone, one seed. Two equal resolved configs on equal data and code are one run."""

    benchmark: SerializeAsAny[BenchmarkConfig]
    method: SerializeAsAny[MethodConfig]
    backbone: SerializeAsAny[BackboneConfig]
    training: TrainingConfig = TrainingConfig()
    references: ReferencesConfig | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "benchmark" not in value:
            return value
        fields = dict(value)
        benchmark = part_class(BENCHMARKS, fields["benchmark"], "benchmark")
        fields["backbone"] = _backbone_fields(benchmark, fields)
        training = fields.get("training") or {}
        if isinstance(training, Mapping):
            fields["training"] = {**_budget_without_clash(benchmark.budget, training), **training}
        return fields

    @field_validator("benchmark", mode="before")
    @classmethod
    def _benchmark(cls, value: Any) -> Any:
        return validated_part(BENCHMARKS, value, "benchmark")

    @field_validator("method", mode="before")
    @classmethod
    def _method(cls, value: Any) -> Any:
        return validated_part(METHODS, value, "method")

    @field_validator("backbone", mode="before")
    @classmethod
    def _backbone(cls, value: Any) -> Any:
        return validated_part(BACKBONES, value, "backbone")

    def resolved(self) -> dict[str, Any]:
        """Every field with its value as plain JSON types; feeding it back gives an equal config."""
        return self.model_dump(mode="json")

    def identity(self) -> dict[str, Any]:
        """What of the config decides numbers: ``resolved`` with the bytes of files and folders in the place of their paths."""
        parts = {"benchmark": self.benchmark, "method": self.method, "backbone": self.backbone}
        references = {} if self.references is None else {"references": self.references.identity()}
        return self.resolved() | {key: part.identity() for key, part in parts.items()} | references

    def config_hash(self) -> str:
        """First 16 hex digits of the sha256 of the resolved config, as it is written, in canonical JSON."""
        return canonical_hash(self.resolved())

    def settings_hash(self) -> str:
        """Hash of the config's identity without its seed: equal for the runs that a table averages."""
        return canonical_hash({key: value for key, value in self.identity().items() if key != "seed"})


def backbone_class(fields: Mapping[str, Any]) -> type[BackboneConfig]:
    """The class of the backbone that a run with these fields has: its own, or its benchmark's.

    Raises:
        ConfigError: the benchmark or the backbone is not known, or none is named.
    """
    benchmark = part_class(BENCHMARKS, fields.get("benchmark") or {}, "benchmark")
    return part_class(BACKBONES, _backbone_fields(benchmark, fields), "backbone")


def _backbone_fields(benchmark: type[BenchmarkConfig], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The benchmark's own backbone under the user's fields, unless these name another one."""
    given = named_fields(fields.get("backbone") or {}, "backbone")
    same = given.get("name") in (None, benchmark.backbone.get("name"))
    return {**benchmark.backbone, **given} if same else given


def _budget_without_clash(budget: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """The benchmark's budget without the unit (steps, epochs) that the user's own budget replaces."""
    clash = {"steps": "epochs", "epochs": "steps"}
    dropped = {clash[unit] for unit in clash if training.get(unit) is not None}
    return {key: value for key, value in budget.items() if key not in dropped}


def write_config(config: RunConfig, folder: Path) -> None:
    """The resolved config beside a run's record, to be fed back."""
    text = yaml.safe_dump(config.resolved(), sort_keys=False, allow_unicode=True)
    atomic_write(folder / CONFIG, text.encode())


def apply_overrides(fields: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """``fields`` with ``dotted.key=value`` pairs put in; values are YAML scalars or lists.

    Raises:
        ConfigError: a pair without '=' or a key that goes through a plain value.
    """
    result = copy.deepcopy(fields)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}: has no key or no '='; write it as method.rank=8.")
        try:
            value = yaml_scalar(text)
        except ValueError as error:
            shown = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
            raise ConfigError(f"--set {key}: '{shown}' cannot be read ({error}); quote it or correct it.") from None
        _put(result, key.strip().split("."), value, override)
    return result


def yaml_scalar(text: str) -> Any:
    """A YAML value, with 5e-4 read as a number (YAML 1.1 wants 5.0e-4); ValueError as ``parse_yaml``."""
    value = parse_yaml(text)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _put(fields: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    target = fields
    for part in path[:-1]:
        inner = target.get(part)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = {"name": inner}
        elif not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: '{part}' is a plain value and has no fields; drop what follows it.")
        target[part] = inner
        target = inner
    before = target.get(path[-1])
    named = {"name": before} if isinstance(before, str) else before
    if isinstance(value, dict) and "name" not in value and isinstance(named, dict) and "name" in named:
        value = {**named, **value}  # fields of a part that has its name already
    target[path[-1]] = value


def validate(model: type[Model], fields: Mapping[str, Any], *, where: str) -> Model:
    """``fields`` as a ``model``; all problems of all fields in one message.

    Raises:
        ConfigError: one clause per wrong field with its dotted name, its value and what is allowed.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = _told_once([dict(problem) for problem in error.errors(include_url=False)])
        clauses = [_clause(problem, fields, model) for problem in problems[:MOST_CLAUSES]]
        clauses += [f"and {len(problems) - MOST_CLAUSES} more"] if len(problems) > MOST_CLAUSES else []
        raise ConfigError(f"{where}: " + "; ".join(dict.fromkeys(clauses)) + ".") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _told_once(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One problem for a value that is none of several types, where Pydantic has one for each: a bound that it breaks, else all types."""
    together: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for number, problem in enumerate(problems):
        *place, last = problem["loc"] or ("",)
        of_union = UNION_MEMBER.search(str(last)) is not None
        together.setdefault((*place, "") if of_union else (*problem["loc"], number), []).append(problem)
    found = []
    for key, same in together.items():
        if key[-1] == "":
            bounds = [one for one in same if not str(one["type"]).endswith(("_type", "_parsing"))]
            chosen = (bounds or same)[0]
            wanted = dict.fromkeys(_wanted(one) for one in (bounds[:1] or same))
            chosen |= {
                "loc": key[:-1],
                "msg": f"Input should be {' or '.join(wanted)}",
                "type": chosen["type"] if bounds else "union",
            }
            same = [chosen]
        found += same
    return found


def _wanted(problem: Mapping[str, Any]) -> str:
    return TAKES.get(problem["type"], str(problem["msg"])).removeprefix("Input should be ").removeprefix("takes ")


def _clause(problem: dict[str, Any], fields: Mapping[str, Any], model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *parents, key = [str(part) for part in problem["loc"]]
        allowed = _allowed_keys(model, fields, parents)
        near = nearest(key, allowed)
        hint = f" (nearest: '{near}')" if near else ""
        return f"{place}: unknown key; allowed are {', '.join(allowed)}{hint}"
    if problem["type"] == "missing":
        return f"{place}: is missing"
    message = TAKES.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
    value = problem.get("input")
    shown = "" if isinstance(value, (dict, BaseModel)) or f"'{value}'" in message else f" (is {_shown(value)})"
    message = message[:1].lower() + message[1:] if message[:1].isupper() else message
    return f"{place}: {message}{shown}" if place else message


def _shown(value: Any) -> str:
    text = "a number of thousands of digits" if isinstance(value, int) and value.bit_length() > 4000 else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _allowed_keys(model: type[BaseModel], fields: Mapping[str, Any], parents: list[str]) -> list[str]:
    """Fields of the model that lies at ``parents`` below ``model``."""
    tables: dict[str, Registry[Any]] = {"benchmark": BENCHMARKS, "method": METHODS, "backbone": BACKBONES}
    if parents and parents[0] in tables:
        given = fields.get(parents[0]) or {}
        default = part_class(BENCHMARKS, fields["benchmark"], "benchmark").backbone if parents[0] == "backbone" else {}
        given = {**default, **named_fields(given, parents[0])}
        found = part_class(tables[parents[0]], given, parents[0])
        for part in parents[1:]:  # a part inside, such as the method inside a wrapper
            own = found.model_fields[part].default if part in found.model_fields else None
            if not isinstance(own, Mapping):
                break
            given = {**own, **named_fields(given.get(part) or {}, part)}
            found = part_class(tables[parents[0]], given, part)
        return sorted(found.model_fields)
    for part in parents:  # a key of a mapping of models is no field: its value's model stays
        field = model.model_fields.get(part)
        annotations = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return sorted(model.model_fields)
