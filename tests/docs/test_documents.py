"""Documents keep their word: links lead somewhere, every command parses, and the README's commands work."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from suite.cli.main import app
from suite.config import RunConfig, validate
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_config import TuneConfig

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
NAMES = [path.relative_to(REPOSITORY).as_posix() for path in DOCUMENTS]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
# What a README command needs that a laptop without data has not; these are parsed only.
OUT_OF_REACH = re.compile(r"--device cuda|--address| data pull |backbone.name=open-clip| 0123abcd ")
SMALL = ("benchmark.domains=[shapes,digits]", "benchmark.shots=4", "training.batch_size=8")


def blocks(document: Path, *languages: str) -> list[str]:
    """Fenced blocks of these languages, continued lines joined."""
    found = FENCE.findall(document.read_text(encoding="utf-8"))
    return [text.replace("\\\n", " ") for kind, text in found if kind in languages]


def commands(document: Path, program: str) -> list[list[str]]:
    """Arguments of every line of the document's shell blocks that calls ``program``."""
    lines = [line.strip() for block in blocks(document, "bash", "sh", "console", "") for line in block.splitlines()]
    calls = [line for line in lines if re.match(rf"(\S*/)?{program}\s", line)]
    return [shlex.split(line, comments=True)[1:] for line in calls]


@cache
def command_line() -> Any:
    """All commands, whose making from functions takes a twentieth of a second."""
    return typer.main.get_command(app)


def parse(arguments: list[str]) -> None:
    """Follow ``arguments`` through the command line's own parser without running anything; typer's error otherwise."""
    command = command_line()
    context = command.make_context("codyra-suite", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name: str) -> None:
    document = REPOSITORY / name
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert not [target for target in local if not (document.parent / target).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist_with_their_options(name: str) -> None:
    for arguments in commands(REPOSITORY / name, "codyra-suite"):
        parse(arguments)


def follow(words: list[str]) -> None:
    """Words of a sentence that name a command, the values of its options and arguments left out or not."""
    command = command_line()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    named = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert named <= options, named - options


@pytest.mark.parametrize("folder", ["docs", "suite", "trainables", "baselines", "search_spaces"])
def test_commands_named_in_sentences_exist(folder: str) -> None:
    """In running text of documents, in messages and in docstrings; examples of the help texts are whole commands."""
    sources = [path for kind in ("md", "py", "html") for path in (REPOSITORY / folder).rglob(f"*.{kind}")]
    sources += [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"] if folder == "docs" else []
    for path in sources:
        text = path.read_text(encoding="utf-8")
        for found in re.findall(r"[`']codyra-suite ([^`'\n]*)[`']", text):
            follow(found.split())
        if path.suffix == ".py":
            for line in re.findall(r"^ +(codyra-suite .*)$", text, flags=re.MULTILINE):
                for part in line.replace(" && ", "\n").splitlines():
                    parse(shlex.split(part)[1:])


@pytest.mark.parametrize("arguments", [["runs", "mini-mtil"], ["perf", "step"], ["dev", "perf", "step", "--methods", "lora"]])
def test_sentences_are_refused_what_does_not_exist(arguments: list[str]) -> None:
    with pytest.raises(AssertionError):
        follow(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_sweep_files_are_valid(name: str) -> None:
    for block in blocks(REPOSITORY / name, "yaml"):
        fields = yaml.safe_load(block)
        if isinstance(fields, dict) and "space" in fields:
            study = validate(StudyConfig, {"name": "document", **fields}, where=name)
            validate(RunConfig, study.run, where=name)
        if isinstance(fields, dict) and "benchmarks" in fields:
            assert validate(TuneConfig, fields, where=name).entrants


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {words[0] for words in commands(REPOSITORY / name, "make") if words}
    assert named <= targets


@pytest.mark.parametrize("arguments", [["runs", "mini-mtil"], ["run", "mini-mtil", "--methods", "lora"], ["run"]])
def test_the_parser_refuses_what_does_not_exist(arguments: list[str]) -> None:
    with pytest.raises(Exception, match=r"is not a command|is not an option|missing"):
        parse(arguments)


def test_the_readme_begins_with_the_two_commands() -> None:
    first = blocks(REPOSITORY / "README.md", "bash")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README assumes it: its sweep file (cut short), own images, own text tasks."""
    folder = tmp_path_factory.mktemp("readme")
    (sweep,) = (yaml.safe_load(block) for block in blocks(REPOSITORY / "README.md", "yaml"))
    sweep["run"]["benchmark"] = {"name": sweep["run"]["benchmark"], "domains": ["shapes", "digits"], "shots": 4}
    sweep["budget"]["trials"] = 2
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    tuned = yaml.safe_load((REPOSITORY / "suite" / "workflows" / "examples" / "fair.yaml").read_text(encoding="utf-8"))
    short = {"benchmarks": [sweep["run"]["benchmark"]], "methods": ["zero-shot", "lora"], "budget": {"trials": 1}}
    short |= {"settings": {"training": {"steps": 2, "batch_size": 8}}, "judge": {"seeds": [1]}}
    (folder / "fair.yaml").write_text(yaml.safe_dump(tuned | short))
    pixels = np.random.default_rng(0)
    for domain, split, kind, index in np.ndindex(2, 2, 2, 5):
        path = folder / "my-images" / f"domain{domain}" / ("train", "test")[split] / f"class {kind}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.integers(0, 255, (40, 32, 3), dtype=np.uint8)).save(path)
    for task in ("news", "letters"):
        (folder / "my-tasks" / task).mkdir(parents=True)
        for split in ("train", "eval", "test"):
            rows = [{"prompt": f"{split} {task} number {i} is", "answer": "ab"[i % 2]} for i in range(8)]
            (folder / "my-tasks" / task / f"{split}.json").write_text(json.dumps(rows))
    return folder


def within_reach(arguments: list[str]) -> list[str]:
    """The same command on less data."""
    if arguments[0] in ("run", "compare") and any(word.startswith("mini-") for word in arguments):
        return [*arguments, *(part for field in SMALL for part in ("--set", field))]
    return arguments


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readmes_commands_work_in_their_order(workshop: Path, terminal: ModuleType) -> None:
    """Typed on a terminal of 80 columns."""
    ran = []
    for arguments in commands(REPOSITORY / "README.md", "codyra-suite"):
        if OUT_OF_REACH.search(f" {shlex.join(arguments)} "):
            continue
        terminal.run_in_terminal(terminal.suite(*within_reach(arguments)), workshop).require_whole()
        ran.append(arguments[0])
    assert {"run", "compare", "sweep", "leaderboard", "list"} <= set(ran)
    assert (workshop / "leaderboard.csv").stat().st_size > 0
