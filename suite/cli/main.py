"""The command line ``codyra-suite``. The one place that turns a user's mistake into one line and exit code 2.

Only light modules are imported here, so that ``--help`` is quick; every command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from suite import __version__
from suite.cli.analysis import ranks, significance
from suite.cli.app import App
from suite.cli.artifacts import export, repeat, rescore
from suite.cli.compare import compare
from suite.cli.data import data_app
from suite.cli.demo import demo
from suite.cli.dev import dev_app
from suite.cli.doctor import doctor
from suite.cli.init import init
from suite.cli.leaderboard import leaderboard
from suite.cli.listing import list_app
from suite.cli.paper import paper
from suite.cli.plan import plan
from suite.cli.pretrain import pretrain_mini
from suite.cli.report import report
from suite.cli.run import run
from suite.cli.runs import runs_app
from suite.cli.studies import studies_app
from suite.cli.submit import submit
from suite.cli.sweep import sweep
from suite.cli.tune import tune
from suite.errors import ConfigError, SuiteError
from suite.files import OF_THE_PATH
from suite.missing_packages import missing_package
from suite.signals import Endings

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Values of a config as errors show them, in the words of whoever wrote them into a file or behind --set.
PYTHON_VALUE = re.compile(r"\(is (?:None|True|False)\)")
YAML_VALUES = {"(is None)": "(is null)", "(is True)": "(is true)", "(is False)": "(is false)"}

app = App(
    name="codyra-suite",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    help="Benchmarks and hyperparameter search for continual learning with low-rank adaptation.",
    epilog="Start with [bold]codyra-suite demo[/bold], or [bold]codyra-suite run mini-xtail --method codyra[/bold].",
)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmarks and hyperparameter search for continual learning with low-rank adaptation."""


# What Ctrl-C leaves behind, unless the KeyboardInterrupt itself says something else.
KEPT = "what was finished is kept, and the same command goes on from there ('sweep' and 'tune': with --resume, once a run has begun)"
RUN, LOOK, CHECK, CLUSTER, DEVELOP = "Run", "Look", "Check", "Cluster", "Develop"
COMMANDS: Mapping[str, Sequence[Callable[..., None]]] = {
    RUN: (demo, init, run, compare, sweep, tune, paper),
    LOOK: (leaderboard, report, ranks, significance, rescore, export),
    CHECK: (doctor, plan, repeat),
    CLUSTER: (submit,),
}
for panel, functions in COMMANDS.items():
    for function in functions:
        app.command(rich_help_panel=panel)(function)
app.add_typer(runs_app, name="runs", rich_help_panel=LOOK)
app.add_typer(studies_app, name="studies", rich_help_panel=LOOK)
app.add_typer(list_app, name="list", rich_help_panel=LOOK)
app.add_typer(data_app, name="data", rich_help_panel=CHECK)
app.command(name="pretrain-mini", rich_help_panel=DEVELOP)(pretrain_mini)
app.add_typer(dev_app, name="dev", rich_help_panel=DEVELOP)


def command_among(words: Sequence[str]) -> str:
    """The command among the words of a command line, ``runs show``; empty where they name none."""
    group: Any = typer.main.get_command(app)
    names: list[str] = []
    for word in words:
        if word.startswith("-") and not names:
            continue  # --debug
        commands = getattr(group, "commands", {})
        if word not in commands:
            break
        names.append(word)
        group = commands[word]
    return " ".join(names)


def _said(text: str, words: Sequence[str]) -> str:
    """An error behind the command that was typed, which some name themselves."""
    said = text.encode(errors="backslashreplace").decode()  # a path on disk may hold what is not UTF-8
    said = PYTHON_VALUE.sub(lambda found: YAML_VALUES[found[0]], said)
    command = command_among(words)
    for named in (command, command.rpartition(" ")[2]):
        said = said.removeprefix(f"{named}: ") if named else said
    return f"codyra-suite {command}: {said}" if command else f"codyra-suite: {said}"


def _require_utf8(arguments: Sequence[str]) -> None:
    """Refuse words that no record, database or server could hold."""
    for word in arguments:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ConfigError(f"{os.fsencode(word)!r}: is not UTF-8; rename what it names and give the new name.")


def _open_closed_streams() -> None:
    """Output that was closed (``>&-``, some daemons) goes nowhere; without it Python has no stream to ask, and files take its number."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def main() -> None:
    """Entry point of the console script."""
    endings = Endings()
    endings.listen()
    _open_closed_streams()
    try:
        _require_utf8(sys.argv[1:])
        app()
    except SuiteError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(_said(str(error), sys.argv[1:]), err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None or "--debug" in sys.argv:
            raise
        typer.echo(_said(f"{missing}.", sys.argv[1:]), err=True)
        sys.exit(2)
    except OSError as error:
        unusable = error.errno in FULL or (error.errno in OF_THE_PATH and error.filename is not None)
        if not unusable or "--debug" in sys.argv:
            raise
        place, reason = error.filename or "standard output", os.strerror(error.errno or 0)
        advice = "name a folder that can be written and has room, the same command goes on"
        typer.echo(_said(f"{place}: {reason}; {advice}.", sys.argv[1:]), err=True)
        sys.exit(2)
    except SystemExit as end:
        interrupt = getattr(end.__context__, "__cause__", None)
        if isinstance(interrupt, KeyboardInterrupt):  # typer's exit 130 says nothing
            typer.echo(f"codyra-suite: interrupted; {str(interrupt) or KEPT}.", err=True)
        if isinstance(end.code, int):
            sys.exit(endings.code(end.code))
        raise


if __name__ == "__main__":
    main()
