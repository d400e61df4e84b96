"""The reference: commands from their help, settings from the configs, lists from ``codyra-suite list``, the Python API from docstrings.

Made when the site is built, so that it cannot differ from the code. Docstrings of the Python API are rendered by mkdocstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from suite.workflows import API
from suite.workflows.listing import Listing, exporter_listing, fields_listing, listing, metric_listing, placement_listing

# What a package of one's own derives from or makes, in the order in which one meets it.
TO_DERIVE_FROM = (
    "trainables.method",
    "trainables.wrapper",
    "suite.parts",
    "suite.backbones.learner",
    "suite.lowrank.layer",
    "suite.benchmarks.stream",
    "suite.tuning.space",
    "suite.tracking.tracker",
    "suite.testing.methods",
)
RESULTS = (
    "suite.workflows.running.DoneRun",
    "suite.runs.store.OpenRun",
    "suite.runs.record.Record",
    "suite.workflows.comparing.Comparison",
    "suite.tuning.study_result.Study",
    "suite.leaderboard.tuned.Tuning",
    "suite.leaderboard.tuned.TunedMethod",
    "suite.leaderboard.tuned.JudgedSetting",
    "suite.workflows.planning.Plan",
    "suite.workflows.planning.TuningPlan",
    "suite.workflows.papers.PaperTable",
    "suite.workflows.papers.PaperPlan",
    "suite.workflows.reporting.Page",
    "suite.workflows.repeating.Verdict",
    "suite.workflows.exporting.Exported",
    "suite.workflows.progress.Watcher",
    "suite.errors.SuiteError",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference."""
    pages = {
        "commands": _commands(),
        "run_file": _run_file(),
        "sweep_file": _sweep_file(),
        "tuning_file": _tuning_file(),
        "methods": _parts("Settings of methods", "METHODS", "method"),
        "benchmarks": _parts("Settings of benchmarks", "BENCHMARKS", "benchmark"),
        "backbones": _parts("Settings of backbones", "BACKBONES", "backbone"),
        "lists": _lists(),
        "python": _python(),
        "extending": _extending(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def _commands() -> str:
    import typer

    from suite.cli.main import app

    lines = ["# Commands", "", "What `--help` says of every command, on one page.", ""]
    for name, command in _leaves("codyra-suite", typer.main.get_command(app)):
        said, _, examples = cleandoc(command.help or "").partition("Examples:")
        lines += [f"## {name.removeprefix('codyra-suite ')}", "", _code(said.strip()), ""]
        calls = [line.strip() for line in examples.splitlines() if line.strip()]
        lines += ["```bash", *calls, "```", ""] if calls else []
        rows = [_option(parameter) for parameter in command.params if not parameter.hidden and parameter.name != "help"]
        lines += [*_table(("argument or option", "default", "meaning"), rows), ""] if rows else []
    return "\n".join(lines)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words it is called by."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, found in inner.items():
        if not found.hidden:
            yield from _leaves(f"{name} {word}", found)


def _option(parameter: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    if parameter.required:
        shown = "required"
    elif default in (None, False) or callable(default):
        shown = ""
    else:
        shown = f"`{default}`"
    said = [parameter.help or "", "Can be repeated." if parameter.multiple and "repeat" not in (parameter.help or "") else ""]
    said += [f"Environment: `{parameter.envvar}`."] if parameter.envvar else []
    return names, shown, _code(" ".join(filter(None, said)))


def _run_file() -> str:
    from suite.config import RunConfig
    from suite.parts import ReferencesConfig, TaskTraining, TrainingConfig

    said = "The file that `codyra-suite run FILE` takes, and what `--set` reaches: `--set training.lr=1e-3` sets `lr` of `training`."
    links = {
        "benchmark": "[benchmarks](benchmarks.md)",
        "method": "[methods](methods.md)",
        "backbone": "[backbones](backbones.md)",
    }
    below = ", ".join(f"`{key}.*`: {link}" for key, link in links.items())
    parts = (
        ("", RunConfig),
        ("training", TrainingConfig),
        ("training.per_task", TaskTraining),
        ("references", ReferencesConfig),
    )
    return _file("The run file", f"{said} {below}.", parts)


def _sweep_file() -> str:
    from suite.tuning.stopping import StoppingConfig
    from suite.tuning.study_config import Budget, Limit, StudyConfig, WarmStart
    from trainables.resources import Resources

    said = "The file that `codyra-suite sweep FILE` takes. The page on [sweeps](../sweeps.md) explains it with an example."
    parts = (
        ("", StudyConfig),
        ("budget", Budget),
        ("stopping", StoppingConfig),
        ("resources", Resources),
        ("constraints", Limit),
        ("warm_start", WarmStart),
    )
    return _file("The sweep file", said, parts)


def _tuning_file() -> str:
    from suite.tuning.tune_config import Judge, TuneBudget, TuneConfig

    said = (
        "The file that `codyra-suite tune FILE` takes. The page on [tuning](../tuning.md) explains it with an example; `stopping` and "
        "`resources` are those of the [sweep file](sweep_file.md)."
    )
    return _file("The file of a tuning", said, (("", TuneConfig), ("budget", TuneBudget), ("judge", Judge)))


def _file(title: str, said: str, parts: Iterable[tuple[str, type[Any]]]) -> str:
    lines = [f"# {title}", "", said, ""]
    for field, config in parts:
        lines += [f"## {field}" if field else "## Fields", "", *_shown(fields_listing(config)), ""]
    return "\n".join(lines)


def _parts(title: str, table: str, kind: str) -> str:
    """One section per entry of a registry that this repository has."""
    from suite import registry

    entries = getattr(registry, table)
    lines = [
        f"# {title}",
        "",
        f"`--set {kind}.FIELD=VALUE` sets one. `codyra-suite list` shows the same, after the word `{kind}s` and a name.",
        "",
    ]
    for name, entry in entries.entries.items():
        if entry.package is None:
            lines += [f"## {name}", "", f"{_code(entry.summary)}.", "", *_shown(listing(entries, name)), ""]
    return "\n".join(lines)


def _lists() -> str:
    from suite.benchmarks.text_scores import TEXT_SCORES
    from suite.registry import SPACES
    from suite.tracking.trackers import TRACKERS

    found = {
        "Metrics": metric_listing(),
        "Search spaces": listing(SPACES),
        "Placements": placement_listing(),
        "Text scores": listing(TEXT_SCORES),
        "Trackers": listing(TRACKERS),
        "Formats of export": exporter_listing(),
    }
    lines = ["# Names to choose from", "", "What `codyra-suite list` shows.", ""]
    for title, shown in found.items():
        lines += [f"## {title}", "", *_shown(shown), ""]
    return "\n".join(lines)


def _python() -> str:
    lines = [
        "# Functions of `suite`",
        "",
        "`import suite`, then `suite.run(...)`. [From Python and notebooks](../python.md) shows them at work.",
        "",
    ]
    for name, module in API.items():
        lines += [f"::: suite.workflows.{module}.{name}", ""]
    lines += ["## What they return and take", ""]
    for name in RESULTS:
        lines += [f"::: {name}", ""]
    return "\n".join(lines)


def _extending() -> str:
    lines = [
        "# Classes to derive from",
        "",
        "What a method, a benchmark, a search space or a tracker of your own is made of. [Your own method](../plugins.md) is the way in.",
        "",
    ]
    for name in TO_DERIVE_FROM:
        lines += [f"::: {name}", "    options:", "      show_root_heading: true", "      heading_level: 2", ""]
    return "\n".join(lines)


def _shown(found: Listing) -> list[str]:
    lines = [*(_sentence(text) for text in found.before), ""]
    lines += _table(
        found.heads, [tuple(_cell(head, value) for head, value in zip(found.heads, row, strict=True)) for row in found.rows]
    )
    return [*lines, "", *(_sentence(text) for text in found.after)]


def _sentence(text: str) -> str:
    return f"{_code(text)}\n"


def _cell(head: str, value: str) -> str:
    """Names and defaults as code, the rest as text."""
    return f"`{value}`" if head in ("field", "default", "metric", "format") and value else _code(value)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    if not heads:
        return []
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *cells)]


def _code(text: str) -> str:
    """Markdown of a docstring's text: its double backticks are code, angle brackets outside code are letters."""
    pieces = re.split(r"(`[^`]*`)", text.replace("``", "`"))
    return "".join(piece if piece.startswith("`") else piece.replace("<", "&lt;").replace("*", "\\*") for piece in pieces)
