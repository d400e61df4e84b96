"""The groups and commands of the command line: as typer's, with help that shows no type behind a flag, and words that cannot be read
refused as every other mistake is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from suite.errors import ConfigError, unknown_name

Function = TypeVar("Function", bound=Callable[..., Any])


@contextmanager
def _told(command: Any, parent: Any) -> Iterator[None]:
    """What typer refuses in the words behind ``command``, below the context ``parent``, is a ConfigError; no words at all show help."""
    try:
        yield
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        from suite.cli.refusals import refusal

        names = [command.name]
        while parent is not None:
            names.insert(0, parent.command.name)
            parent = parent.parent
        raise ConfigError(refusal(error, " ".join(names))) from None


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return without_types_of_flags(super().get_params(ctx))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _told(self, parent):
            return super().make_context(info_name, args, parent, **extra)


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return without_types_of_flags(super().get_params(ctx))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _told(self, parent):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _told(self, ctx.parent):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise unknown_name("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def without_types_of_flags(parameters: list[Any]) -> list[Any]:
    """A flag takes nothing, so its help names nothing that it takes."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


class App(typer.Typer):
    """A group of commands that shows its help when it is called without one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, no_args_is_help=True, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=_Command, **settings)
