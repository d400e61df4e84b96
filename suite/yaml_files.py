"""YAML that people write, read without surprises: nothing is overwritten in silence, nothing grows without bounds."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suite.errors import ConfigError
from suite.files import read_text

MOST_CHARACTERS = 1 << 20
MOST_VALUES = 50_000  # a name for a part (&a) counts again wherever it is used (*a)
MOST_LEVELS = 50
LONGEST_NUMBER = 100  # characters


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 as PyYAML reads it, without dates and without what a config cannot mean."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, yaml.Node] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True) if key_node.tag != "tag:yaml.org,2002:merge" else "<<"
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
            if isinstance(key, Hashable):
                seen[key] = key_node
        return super().construct_mapping(node, deep=deep)


def _number(loader: Any, node: yaml.ScalarNode) -> int | float:
    if len(node.value) > LONGEST_NUMBER:
        raise yaml.constructor.ConstructorError(None, None, f"a number of {len(node.value)} characters", node.start_mark)
    whole = node.tag == "tag:yaml.org,2002:int"
    number: int | float = loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)
    if not whole and not math.isfinite(number):
        raise yaml.constructor.ConstructorError(
            None, None, f"'{node.value}' is no number that a setting can have", node.start_mark
        )
    return number


def _as_written(loader: Any, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _refused(loader: Any, node: yaml.Node) -> None:
    loader.construct_undefined(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_written)
for _kind in ("binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refused)


@dataclass
class _Open:
    """A list or mapping whose end has not been reached: its name, what it holds so far, its deepest level below."""

    anchor: str | None = None
    values: int = 1
    levels: int = 0


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no file that can be read, not YAML, too large or too deep, a key that stands twice, or not a mapping.
    """
    text = read_text(path, "give the path of a YAML config", ConfigError)
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid YAML ({error}); correct it there.") from None
    if not isinstance(value, dict):
        found = "is empty" if value is None else f"holds a {'list' if isinstance(value, list) else 'single value'}"
        raise ConfigError(f"{path}: {found}; a config is a mapping of keys to values.")
    return value


def parse_yaml(text: str) -> Any:
    """The value in YAML text.

    Raises:
        ValueError: its reason in few words without a full stop.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text)} characters, {MOST_CHARACTERS} at most")
    try:
        _require_bounded(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{error.problem or error.context}{place}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def _require_bounded(text: str) -> None:
    """Refuse, before anything is built, nesting and repetition that would take the machine's time and memory."""
    named: dict[str, _Open] = {}
    stack = [_Open()]
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(event.anchor))
            part = _Open()
        elif isinstance(event, yaml.CollectionEndEvent):
            part = stack.pop()
            part.levels += 1
        elif isinstance(event, yaml.ScalarEvent):
            part = _Open(event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in named:
                raise ValueError(f"'*{event.anchor}' in {_line(event)} names nothing that ends before it")
            part = _Open(None, named[event.anchor].values, named[event.anchor].levels)
        else:
            continue
        if len(stack) + part.levels > MOST_LEVELS + 1:
            raise ValueError(f"{_line(event)} is nested more than {MOST_LEVELS} levels deep")
        if isinstance(event, yaml.CollectionStartEvent):
            continue
        if part.anchor is not None:
            named[part.anchor] = part
        stack[-1].values += part.values
        stack[-1].levels = max(stack[-1].levels, part.levels)
        if stack[-1].values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else "one line"
