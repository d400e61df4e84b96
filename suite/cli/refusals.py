"""What is wrong with a command line that typer cannot read: one sentence, in the form of all other mistakes."""

from __future__ import annotations

import re
from typing import Any

import typer

from suite.errors import nearest

EXTRA = re.compile(r"unexpected extra argument\S* \((.*)\)\.?$")  # typer's words
NUMBERS = {int: "a whole number", float: "a number"}


def refusal(error: typer.TyperException, command: str) -> str:
    """The sentence for an ``error`` that typer raised on the words behind ``command``, such as ``codyra-suite runs show``."""
    hint = f"'{command} --help' shows what it takes."
    parameter, name = getattr(error, "param", None), getattr(error, "option_name", None)
    if parameter is not None and hasattr(error, "param_type"):  # of a parameter that is missing
        return f"{_name(parameter)}: is missing; {hint}"
    if parameter is not None:
        return _wrong_value(error, parameter)
    if name is not None and hasattr(error, "possibilities"):  # of an option that there is not
        near = nearest(name, error.possibilities or ())
        return f"{name}: is not an option{f' (nearest: {near})' if near else ''}; {hint}"
    message = error.format_message().rstrip(".")
    if name is not None:
        return f"{name}: {'takes no value' if 'not take' in message else 'has no value'}; {hint}"
    if extra := EXTRA.search(message):
        return f"'{extra[1]}': is more than the command takes; {hint}"
    return f"{message[:1].lower()}{message[1:]}; {hint}"


def _name(parameter: Any) -> str:
    """An option as it is typed, an argument as the help calls it."""
    name = str(max(parameter.opts, key=len))
    return name if name.startswith("-") else str(parameter.metavar or name.upper())


def _wrong_value(error: typer.TyperException, parameter: Any) -> str:
    """What was given, and what the parameter's declaration allows."""
    problems: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()  # Pydantic's
    reason = str(problems[0]["msg"] if problems else error.message).removeprefix("Value error, ").rstrip(".")
    given = f"{_name(parameter)} {problems[0]['input']}" if problems else _name(parameter)
    descriptor = getattr(parameter, "type_descriptor", None)
    wanted = None if descriptor is None else _wanted(descriptor)
    if wanted is None:
        return f"{given}: {reason[:1].lower()}{reason[1:]}; correct it."
    return f"{given}: is not {wanted}; give one."


def _wanted(descriptor: Any) -> str | None:
    """The values of a parameter that takes a number or one of some words."""
    if descriptor.choices is not None:
        return f"one of {', '.join(map(str, descriptor.choices))}"
    number = NUMBERS.get(descriptor.annotation)
    if number is None:
        return None
    least, most = descriptor.parameter_info.min, descriptor.parameter_info.max
    if least is None and most is None:
        return number
    if most is None:
        return f"{number} from {least} on"
    return f"{number} up to {most}" if least is None else f"{number} from {least} to {most}"
