"""Words for declaring a search space, compiled to Optuna's define-by-run: impossible combinations cannot be sampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from suite.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Value = float | int | str | bool | None
CASE = "#"  # between the name of a field and the number of one of its cases


@dataclass(frozen=True)
class Parameter:
    """One searched field of the run config.

    Attributes:
        conditions: other parameters of the space that must have one of the given values for this one to exist.
    """

    conditions: Mapping[str, tuple[Value, ...]] = field(default_factory=dict, kw_only=True)

    def when(self, **conditions: Value | tuple[Value, ...]) -> Any:
        """The same parameter, only where every named parameter (dots as double underscores) has one of these values."""
        given = {key.replace("__", "."): v if isinstance(v, tuple) else (v,) for key, v in conditions.items()}
        return replace(self, conditions={**self.conditions, **given})

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        raise TypeError(f"{type(self).__name__} is not a word of a search space")

    def size(self) -> float:
        """Number of values; infinite for a continuous range."""
        return math.inf

    def each(self) -> Sequence[Value]:
        """Its values, where they can be counted."""
        raise TypeError(f"{type(self).__name__} has no list of values")

    def contains(self, value: Any) -> bool:
        """True if ``value`` is one that could be drawn."""
        return value in self.each()

    def text(self) -> str:
        """The range as the tree shows it."""
        return type(self).__name__


@dataclass(frozen=True)
class Uniform(Parameter):
    """A number between two limits."""

    low: float
    high: float

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        return trial.suggest_float(name, self.low, self.high)

    def contains(self, value: Any) -> bool:
        return _lies_between(self.low, value, self.high)

    def text(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class LogUniform(Parameter):
    """A positive number, uniform in its logarithm."""

    low: float
    high: float

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        return trial.suggest_float(name, self.low, self.high, log=True)

    def contains(self, value: Any) -> bool:
        return _lies_between(self.low, value, self.high)

    def text(self) -> str:
        return f"{self.low:g} to {self.high:g}, log"


@dataclass(frozen=True)
class IntUniform(Parameter):
    """A whole number between two limits, both included; ``log`` spaces it by its logarithm."""

    low: int
    high: int
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        return trial.suggest_int(name, self.low, self.high, log=self.log)

    def size(self) -> float:
        return float(self.high - self.low + 1)

    def each(self) -> Sequence[Value]:
        return range(self.low, self.high + 1)

    def text(self) -> str:
        return f"{self.low} to {self.high}, whole{', log' if self.log else ''}"


@dataclass(frozen=True)
class Choice(Parameter):
    """One of some values."""

    values: tuple[Value, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        chosen: Value = trial.suggest_categorical(name, self.values)
        return chosen

    def size(self) -> float:
        return float(len(self.values))

    def each(self) -> Sequence[Value]:
        return self.values

    def text(self) -> str:
        return " | ".join(str(value) for value in self.values)


def choice(*values: Value) -> Choice:
    """One of ``values``."""
    return Choice(values)


@dataclass(frozen=True)
class By(Parameter):
    """A field whose range depends on another parameter ``on``: one case for each of its values, or for several of them together."""

    on: str
    cases: Mapping[Value | tuple[Value, ...], Parameter]

    def parts(self, name: str) -> dict[str, Parameter]:
        """The cases as parameters with a condition, under names of their own, since Optuna wants one range per name."""
        found = {}
        for number, (values, parameter) in enumerate(self.cases.items(), start=1):
            given = {self.on: values if isinstance(values, tuple) else (values,)}
            conditions = {**self.conditions, **parameter.conditions, **given}
            found[name if number == 1 else f"{name}{CASE}{number}"] = replace(parameter, conditions=conditions)
        return found


def by(on: str, cases: Mapping[Any, Parameter]) -> By:
    """A range for each value of the parameter ``on``, or for several values together as a tuple: ``by("method.placement", {...})``."""
    return By(on, cases)


@dataclass(frozen=True)
class Space:
    """Dotted config fields and their ranges, in an order in which conditions come before what depends on them.

    Attributes:
        method: the method whose fields ``method.*`` are.
        parameters: as declared, with the cases of ``by`` one by one, ``method.rank`` and ``method.rank#2``.
    """

    method: str
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        parts = [found.parts(name) if isinstance(found, By) else {name: found} for name, found in self.parameters.items()]
        object.__setattr__(self, "parameters", {name: found for part in parts for name, found in part.items()})
        known: set[str] = set()
        for name, parameter in self.parameters.items():
            unknown = set(parameter.conditions) - known
            if unknown:
                raise ConfigError(f"space of '{self.method}': {name} depends on {sorted(unknown)}, which must come before it.")
            known.add(name)

    @property
    def is_conditional(self) -> bool:
        return any(parameter.conditions for parameter in self.parameters.values())

    def restricted(self, fits: Callable[[str, Value], bool]) -> Space:
        """This space with those choices alone that fit, asked by the parameter's dotted field and the value.

        Raises:
            ConfigError: nothing is left of a parameter.
        """
        found: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            found[name] = parameter
            if isinstance(parameter, Choice):
                values = tuple(value for value in parameter.values if fits(name.partition(CASE)[0], value))
                if not values:
                    raise ConfigError(
                        f"space of '{self.method}': {name} offers {parameter.text()}, none of which this backbone has."
                    )
                found[name] = replace(parameter, values=values)
        return replace(self, parameters=found)

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
        """Dotted key -> value, only for the parameters that exist under the values drawn so far."""
        return self.draw(trial, "")

    def draw(self, trial: BaseTrial, prefix: str) -> dict[str, Value]:
        """As ``suggest``, with ``prefix`` before the names that Optuna sees."""
        values: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if all(values.get(other) in allowed for other, allowed in parameter.conditions.items()):
                values[name] = parameter.suggest(trial, prefix + name)
        return values

    def fields(self, values: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
        """The method and the config fields that drawn ``values`` stand for."""
        return self.method, {name.partition(CASE)[0]: value for name, value in values.items()}

    def grid(self) -> dict[str, Sequence[Value]]:
        """Every value of every parameter, for exhaustive search.

        Raises:
            ConfigError: a continuous or conditional parameter: a grid cannot honour it.
        """
        axes: dict[str, Sequence[Value]] = {}
        for name, parameter in self.parameters.items():
            if not isinstance(parameter, Choice) or parameter.conditions:
                raise ConfigError(f"sampler 'grid': {name} is {parameter.text()}; a grid takes plain choices only, use 'tpe'.")
            axes[name] = parameter.values
        return axes

    def size(self) -> float:
        """Number of points; infinite if any parameter is continuous."""
        if any(parameter.size() == math.inf for parameter in self.parameters.values()):
            return math.inf
        return self._count(tuple(self.parameters), {})

    def _count(self, names: tuple[str, ...], values: Mapping[str, Value]) -> float:
        """Points of the parameters ``names`` under drawn ``values``; only what others depend on is gone through one by one."""
        if not names:
            return 1.0
        parameter, rest = self.parameters[names[0]], names[1:]
        if not all(values.get(other) in allowed for other, allowed in parameter.conditions.items()):
            return self._count(rest, values)
        if not any(names[0] in self.parameters[name].conditions for name in rest):
            return parameter.size() * self._count(rest, values)
        return sum(self._count(rest, {**values, names[0]: value}) for value in parameter.each())

    def tree(self) -> str:
        """One line per parameter, indented below what it depends on."""
        lines = [f"method: {self.method}"]
        for name, parameter in self.parameters.items():
            indent = "    " if parameter.conditions else "  "
            given = " and ".join(f"{key} = {' or '.join(map(str, v))}" for key, v in parameter.conditions.items())
            lines.append(f"{indent}{name.partition(CASE)[0]}: {parameter.text()}{f'   (when {given})' if given else ''}")
        return "\n".join(lines)


@dataclass(frozen=True)
class SpaceUnion:
    """One of several spaces, usually of different methods; each one's parameters exist only where it was drawn."""

    spaces: Mapping[str, Space]

    is_conditional = True

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """All that may be drawn, under the names that Optuna sees."""
        own = {f"{name}/{key}": found for name, space in self.spaces.items() for key, found in space.parameters.items()}
        return {"space": Choice(tuple(self.spaces)), **own}

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
        """``space`` and ``<space>/<dotted key>`` -> value."""
        name = str(trial.suggest_categorical("space", tuple(self.spaces)))
        values = self.spaces[name].draw(trial, f"{name}/")
        return {"space": name, **{f"{name}/{key}": value for key, value in values.items()}}

    def fields(self, values: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
        """The method and the config fields that drawn ``values`` stand for."""
        name = str(values["space"])
        return self.spaces[name].fields({key.partition("/")[2]: value for key, value in values.items() if key != "space"})

    def grid(self) -> dict[str, Sequence[Value]]:
        """Never: the spaces differ in their parameters.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"sampler 'grid': cannot honour several spaces ({', '.join(self.spaces)}); use tpe, nsga2 or random.")

    def size(self) -> float:
        """Number of points; infinite if any space is."""
        return sum(space.size() for space in self.spaces.values())


def _lies_between(low: float, value: Any, high: float) -> bool:
    """Also for a number that YAML 1.1 reads as text, such as 5e-3."""
    try:
        return not isinstance(value, bool) and low <= float(value) <= high
    except (TypeError, ValueError):
        return False
