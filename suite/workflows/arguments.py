"""What the functions of the Python API take, checked where they are entered.

An argument of the wrong kind is a user's mistake like any other: one sentence, before anything is done. The types stand in the
signatures, so that a function says what it takes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, create_model

from suite.config import validate
from suite.errors import ConfigError
from suite.workflows.progress import Watcher

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def _path(value: object) -> object:
    if not isinstance(value, str | Path):
        raise ValueError("takes a path, as text or as a pathlib.Path")
    return value


def _fields_or_path(value: object) -> object:
    if not isinstance(value, str | Path | Mapping):
        raise ValueError("takes the path of a sweep file, or its fields as a mapping")
    return value


def _name_or_fields(value: object) -> object:
    if not isinstance(value, str | Mapping):
        raise ValueError("takes a name, or a mapping of its name and fields as in {'name': 'lora', 'rank': 8}")
    return value


def _settings(value: object) -> object:
    """One text is one setting."""
    every = [value] if isinstance(value, str) else value
    if not isinstance(every, Iterable) or isinstance(every, bytes):
        raise ValueError('takes a mapping as in {"method.rank": 8}, or a list as in ["method.rank=8"]')
    every = every if isinstance(every, Mapping) else list(every)
    for one in every:
        if not isinstance(one, str):
            raise ValueError(f'{one!r} is not a text; write it as {{"method.rank": 8}} or ["method.rank=8"]')
    return every


def _several(value: object) -> object:
    """Whatever can be gone through, as a list."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError("takes a list, as in [0, 1, 2] or range(3)")
    every = list(value)
    if not every:
        raise ValueError("is empty; give at least one")
    return every


def _names(value: object) -> object:
    """One text is one name."""
    if not isinstance(value, Iterable | Path) or isinstance(value, bytes | Mapping):
        raise ValueError("takes a list of names, as in ['lora', 'codyra']")
    return _several([value] if isinstance(value, str | Path) else value)


def _text_of_path(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _tracking(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("takes the URI of a tracker as a text, e.g. 'sqlite:///mlflow.db', 'tensorboard:FOLDER' or 'none'")
    return value


def _watcher(value: object) -> object:
    if not all(callable(getattr(value, name, None)) for name in ("begin", "say")):
        raise ValueError("takes an object with the methods begin and say of suite.workflows.progress.Watcher")
    return value


PathGiven = Annotated[Path | str, PlainValidator(_path)]
SweepGiven = Annotated[Path | str | Mapping[str, Any], PlainValidator(_fields_or_path)]
PartGiven = Annotated[str | Mapping[str, Any], PlainValidator(_name_or_fields)]
SettingsGiven = Annotated[Mapping[str, Any] | Sequence[str], PlainValidator(_settings)]
TrackingGiven = Annotated[str, PlainValidator(_tracking)]
WatcherGiven = Annotated[Watcher, PlainValidator(_watcher)]
RunName = Annotated[str, BeforeValidator(_text_of_path)]
Names = Annotated[Sequence[RunName], BeforeValidator(_names)]
Numbers = Annotated[Sequence[int], BeforeValidator(_several)]
Count = Annotated[int, Field(ge=1)]


def checked(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """``function``, called with what the types in its signature make of its arguments.

    Raises:
        ConfigError: by the returned function: an argument that is missing, unknown or not of its type; all of them in one sentence.
    """

    @wraps(function)
    def call(*positional: Given.args, **named: Given.kwargs) -> Returned:
        parameters = signature(function).parameters.values()
        order = [one.name for one in parameters if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
        if len(positional) > len(order):
            raise ConfigError(
                f"{function.__name__}: {len(positional)} arguments stand without a name, {len(order)} may ({', '.join(order)}); "
                "write the others as name=value."
            )
        by_place = dict(zip(order, positional, strict=False))
        if twice := by_place.keys() & named.keys():
            raise ConfigError(f"{function.__name__}: {', '.join(sorted(twice))}: is given twice; give it once.")
        found = validate(_model(function), {**by_place, **named}, where=function.__name__)
        values: dict[str, Any] = {name: getattr(found, name) for name in found.model_fields_set}
        return function(**values)  # type: ignore[call-arg]  # they are its parameters by construction

    return call


@lru_cache
def _model(function: Callable[..., Any]) -> type[BaseModel]:
    """The parameters of ``function`` as a model; what it returns may be known to type checkers alone and is left unread."""
    fields: dict[str, Any] = {
        name: (one.annotation, ... if one.default is Parameter.empty else one.default)
        for name, one in signature(function).parameters.items()
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(function.__name__, __config__=config, __module__=function.__module__, **fields)
