"""The run configs that a command or a call of the Python API means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from suite.config import RunConfig, apply_overrides, backbone_class, validate
from suite.errors import ConfigError, nearest, unknown_name
from suite.parts import PartConfig, TrainingConfig, named_fields
from suite.registration import Registry
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.yaml_files import load_yaml

PARTS: Mapping[str, Registry[type[PartConfig]]] = {"benchmark": BENCHMARKS, "method": METHODS, "backbone": BACKBONES}  # type: ignore[dict-item]
Settings = Mapping[str, Any] | Sequence[str]
"""Fields of a config by their dotted names, ``{"method.rank": 8}``, or as the command line has them, ``["method.rank=8"]``."""


def setting_pairs(settings: Settings) -> list[str]:
    """``settings`` as the command line has them."""
    if isinstance(settings, Mapping):
        return [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
    return list(settings)


def limit_pair(limit: int | None, within: str = "") -> list[str]:
    """What ``--limit`` means as a setting, of the config that lies below the key ``within``; none without it."""
    return [] if limit is None else [f"{within}benchmark.limit={limit}"]


def run_config(
    what: str | Path,
    *,
    method: str | Mapping[str, Any] | None = None,
    seed: int | None = None,
    settings: Settings = (),
    limit: int | None = None,
) -> RunConfig:
    """The config named by a benchmark or a file, with the caller's settings, resolved and frozen.

    Args:
        limit: the benchmark's; None = the file's own.

    Raises:
        ConfigError: unknown names, wrong values, unreadable file; all problems in one message.
    """
    fields: dict[str, Any]
    name = str(what)
    if Path(name).suffix in (".yaml", ".yml", ".json") or "/" in name:
        fields, where = load_yaml(Path(name)), name
    elif name in BENCHMARKS:
        fields, where = {"benchmark": {"name": name}}, "config"
    else:
        raise unknown_name("benchmark", name, BENCHMARKS)
    if isinstance(method, Mapping):
        fields["method"] = dict(method)
    elif method is not None:
        given = fields.get("method")
        same = isinstance(given, dict) and given.get("name") == method
        fields["method"] = given if same else {"name": method}
    fields.setdefault("method", {"name": "codyra"})
    if seed is not None:
        fields["seed"] = seed
    require_full_keys(setting_pairs(settings), fields)
    fields = apply_overrides(fields, [*limit_pair(limit), *setting_pairs(settings)])
    with naming_other_backbones(fields):
        config = validate(RunConfig, fields, where=where)
    require_micro_batches(config, where=where)
    return config


def require_micro_batches(config: RunConfig, *, where: str) -> None:
    """Refuse micro-batches of more rows than a batch, which split nothing; the benchmark's own below a smaller batch are nobody's mistake.

    Asked of what a user has written alone: runs that are stored stay what they are and can be repeated.

    Raises:
        ConfigError: naming both fields.
    """
    batch, micro = config.training.batch_size, config.training.micro_batch_size
    if micro is not None and micro > batch and micro != config.benchmark.budget.get("micro_batch_size"):
        raise ConfigError(
            f"{where}: training.micro_batch_size: {micro} rows per forward pass are more than a batch has, training.batch_size is {batch}; use at "
            f"most {batch}, or null for the whole batch at once."
        )


@contextmanager
def naming_other_backbones(fields: Any) -> Iterator[None]:
    """A refusal of a run's ``fields`` says too which other backbones have a field that the run's own, which nobody may have named, has not."""
    try:
        yield
    except ConfigError as error:
        if not (hint := _other_backbones(fields)):
            raise
        raise ConfigError(f"{str(error).rstrip('.')}; {hint}.") from None


def _other_backbones(fields: Any) -> str:
    """Whose the fields are that the run's backbone has not; empty where they are nobody's, or what was refused is something else."""
    try:
        given, own = named_fields(fields["backbone"], "backbone"), backbone_class(fields)
    except (ConfigError, LookupError, TypeError):
        return ""
    classes = {name: BACKBONES[name] for name in BACKBONES.usable()[0]}
    found = []
    for key in given.keys() - own.model_fields.keys():
        owners = [name for name, one in classes.items() if key in one.model_fields and own.kind in (None, one.kind)]
        if owners:
            found.append(f"backbone.{key} needs {' or '.join(f'backbone.name={name}' for name in owners)}")
    return "; ".join(found)


def require_full_keys(settings: Sequence[str], fields: Mapping[str, Any]) -> None:
    """Refuse a setting whose key begins with no part of a run, such as ``rank=8``, with the keys that it may have meant.

    Args:
        fields: of the run that is set, with its benchmark and method.

    Raises:
        ConfigError: naming the setting and the nearest full keys.
    """
    for pair in settings:
        key, equals, value = pair.partition("=")
        first = key.strip().partition(".")[0]
        if not equals or not first or first in RunConfig.model_fields:
            continue
        known = _full_keys(fields)
        ends = [name for name in known if name.rpartition(".")[2] == key.strip()]
        near = ends or [found for found in (nearest(key.strip(), known),) if found]
        hint = (
            f"write {' or '.join(f'{name}={value}' for name in near)}"
            if near
            else f"begin with {', '.join(RunConfig.model_fields)}"
        )
        raise ConfigError(f"--set {pair}: '{first}' is no part of a run; {hint}.")


def _full_keys(fields: Mapping[str, Any]) -> list[str]:
    """Dotted keys of a run, as far as its parts are known by name."""
    keys = [name for name in RunConfig.model_fields if name not in PARTS]
    for part, registry in PARTS.items():
        given = fields.get(part) or {}
        name = given if isinstance(given, str) else given.get("name") if isinstance(given, Mapping) else None
        if part == "backbone" and name is None:
            name = backbone_class(fields).model_fields["name"].default
        if isinstance(name, str) and name in registry:
            keys += [f"{part}.{key}" for key in registry[name].model_fields if key != "name"]
    return [*keys, *(f"training.{key}" for key in TrainingConfig.model_fields)]


def comparison(
    benchmarks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    *,
    limit: int | None = None,
) -> list[RunConfig]:
    """The runs of every method on every benchmark with every seed.

    Raises:
        ConfigError: a setting of a method that is not compared; else as ``run_config`` says, in the words of a comparison.
    """
    configs, pairs = [], setting_pairs(settings)
    require_compared(pairs, methods)
    for benchmark, method, seed in product(benchmarks, methods, seeds):
        try:
            own = settings_for(method, pairs)
            configs.append(run_config(benchmark, method=method, seed=seed, settings=own, limit=limit))
        except ConfigError as error:
            raise ConfigError(in_its_words(method, str(error))) from None
    return configs


def require_compared(settings: Sequence[str], methods: Sequence[str]) -> None:
    """Refuse a setting that holds for one method alone, e.g. ``codyra.rank=8``, where that method is none of ``methods``.

    Raises:
        ConfigError: naming the setting and the methods.
    """
    for pair in settings:
        owner = pair.partition(".")[0]
        if owner in METHODS and owner not in methods:
            raise ConfigError(
                f"{pair}: {owner} is not compared, {', '.join(methods)} are; name it too or leave the setting out."
            )


def settings_for(method: str, settings: Sequence[str]) -> list[str]:
    """Settings for one method: ``codyra.rank=8`` becomes ``method.rank=8`` for CoDyRA and is none for others."""
    chosen = []
    for setting in settings:
        owner, dot, rest = setting.partition(".")
        if dot and owner in METHODS:
            chosen += [f"method.{rest}"] if owner == method else []
        else:
            chosen.append(setting)
    return chosen


def in_its_words(method: str, sentence: str) -> str:
    """A sentence about ``method.<field>`` with the key that a comparison of several methods takes, e.g. ``codyra.<field>``."""
    return re.sub(r"\bmethod\.(?=[a-z_])", f"{method}.", sentence)
