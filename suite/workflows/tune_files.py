"""The file of a tuning, read and proved before anything is done, and in one line what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.config import validate
from suite.counting import counted
from suite.errors import ConfigError
from suite.parts import named_fields
from suite.tuning.study import point_config
from suite.tuning.trials import some_point
from suite.tuning.tune_config import UNITS, TuneConfig, amount
from suite.workflows.configs import naming_other_backbones, require_micro_batches
from suite.yaml_files import load_yaml


def tune_config(file: Path | str | Mapping[str, Any], limit: int | None = None) -> TuneConfig:
    """The tuning that a file or its fields describe, and each of whose studies can make a trial.

    Args:
        limit: of every benchmark, in the place of the file's own; the tuning is then another one, ``<name>-limit-<limit>``. None = as
            the file has it.

    Raises:
        ConfigError: all problems of the file in one message.
    """
    if isinstance(file, Mapping):
        fields, where = dict(file), "tune"
    else:
        fields, where = {"name": Path(file).stem, **load_yaml(Path(file))}, str(file)
    try:
        with naming_other_backbones(_some_run(fields)):
            config = validate(TuneConfig, _with_limit(fields, limit), where=where)
            for entrant in config.entrants:
                if entrant.study is not None:
                    point_config(entrant.study, some_point(entrant.study))
                for run in entrant.judged(entrant.run, config.judge.seeds):
                    require_micro_batches(run, where=f"{entrant.benchmark} {entrant.method}")
    except ConfigError as error:
        named = str(error).startswith(f"{where}: ")
        raise error if named else ConfigError(f"{where}: {error}") from None
    return config


def is_tuning(file: Path | str | Mapping[str, Any]) -> bool:
    """Whether these are the fields of a tuning and not of a sweep.

    Raises:
        ConfigError: there is no such file, or it holds no fields.
    """
    return "benchmarks" in (file if isinstance(file, Mapping) else load_yaml(Path(file)))


def _with_limit(fields: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    """The fields of a tuning with fewer rows; what is no tuning's stays as it is and is refused with its other faults."""
    benchmarks, name = fields.get("benchmarks"), fields.get("name")
    if limit is None or not isinstance(benchmarks, list | tuple) or not isinstance(name, str):
        return dict(fields)
    limited = [{**named_fields(one, "benchmarks"), "limit": limit} for one in benchmarks]
    return {**fields, "name": f"{name}-limit-{limit}", "benchmarks": limited}


def _some_run(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a run of the first benchmark, as far as they say which backbone it has."""
    benchmarks, settings = fields.get("benchmarks"), fields.get("settings")
    first = benchmarks[0] if isinstance(benchmarks, list | tuple) and benchmarks else None
    return {**(settings if isinstance(settings, Mapping) else {}), "benchmark": first}


def outline(config: TuneConfig) -> str:
    """What a tuning will do, in one line: its studies with their budget, and what settings are judged on."""
    entrants = config.entrants
    studies = sum(entrant.study is not None for entrant in entrants)
    budget = amount(config.budget.amount, UNITS[config.budget.unit]) + (" each" if studies > 1 else "")
    orders = {entrant.benchmark: ", ".join(map(str, entrant.orders)) for entrant in entrants if entrant.orders}
    placed = "".join(f"; {benchmark} in order {names}" for benchmark, names in orders.items())
    seeds = ", ".join(map(str, config.judge.seeds))
    searched = (
        f"{counted(studies, 'study')} with {budget}, then default and chosen settings"
        if studies
        else "nothing to tune, settings"
    )
    return f"tuning {config.name}: {searched} on {'seed' if len(config.judge.seeds) == 1 else 'seeds'} {seeds}{placed}"
