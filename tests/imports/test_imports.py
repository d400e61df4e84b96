"""Who may import whom, which library sits behind which files, and what ``--help`` must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("suite", "trainables", "baselines", "search_spaces")

# Package -> own packages it may import anywhere. What suite needs of the others it names in its registry or imports on call.
MAY_IMPORT = {
    "suite": {"suite"},
    "trainables": {"suite", "trainables"},
    "baselines": {"suite", "trainables", "baselines"},
    "search_spaces": {"suite", "trainables", "baselines", "search_spaces"},
}
# The parts of suite that stand on the other packages.
UPPER = ("suite/workflows/*.py",)
# Library -> the only files that may import it, inside functions too.
HOMES = {
    "ray": ("suite/tuning/*.py", "trainables/direct.py", "trainables/train.py"),
    "optuna": ("suite/tuning/*.py",),
    "mlflow": ("suite/tracking/mlflow_*.py",),
    "open_clip": ("suite/backbones/open_clip_network.py", "suite/backbones/pretrain_clip.py"),
    "transformers": (
        "suite/backbones/causal_lm.py",
        "suite/backbones/generation.py",
        "suite/backbones/lm_*.py",
        "suite/backbones/pretrain_lm.py",
    ),
    "matplotlib": ("suite/leaderboard/*.py",),
    "seaborn": ("suite/leaderboard/*.py",),
}
HEAVY = {*HOMES, "torch", "torchvision", "pandas", "scipy", "sklearn", "sqlalchemy", "pyarrow"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
MAX_LINES = 320


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, its line, and whether importing the file alone would load it."""

    module: str
    line: int
    at_load: bool


def imports(source: str) -> Iterator[Import]:
    """Every import of a module, those inside functions and ``if TYPE_CHECKING`` included."""
    tree = ast.parse(source)
    deferred: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_types_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if is_function or for_types_only:
            deferred.update(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}"]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, node not in deferred)


def breaches(path: str, source: str) -> list[str]:
    """One line per import in ``source`` that a file at ``path`` (relative, with '/') may not have."""
    package = "search_spaces" if any(fnmatch(path, upper) for upper in UPPER) else path.partition("/")[0]
    found = []
    for item in imports(source):
        top = item.module.partition(".")[0]
        own = top in PACKAGES and top not in MAY_IMPORT[package] and (item.at_load or package != "suite")
        homeless = top in HOMES and not any(fnmatch(path, home) for home in HOMES[top])
        if own or homeless or item.module.startswith("."):
            found.append(f"{path}:{item.line}: imports {item.module}")
    return found


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_every_import_keeps_the_rules() -> None:
    found = [line for path in modules() for line in breaches(relative(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "allowed"),
    [
        ("suite/runs/record.py", "import trainables.run", False),
        ("suite/cli/run.py", "def run():\n    from trainables.run import execute", True),
        ("suite/cli/run.py", "if TYPE_CHECKING:\n    from trainables.run import execute", True),
        ("trainables/run.py", "def run():\n    import baselines.lora", False),
        ("baselines/lora.py", "from search_spaces.lora import SPACE", False),
        ("search_spaces/lora.py", "from baselines.lora import LoraConfig", True),
        ("suite/cli/run.py", "def run():\n    import ray.tune", False),
        ("suite/tuning/tune_plugins.py", "from ray import tune", True),
        ("suite/leaderboard/table.py", "def read():\n    from mlflow import MlflowClient", False),
        ("suite/runs/record.py", "from . import identity", False),
        ("suite/runs/record.py", "import rayon", True),
        ("suite/workflows/probe.py", "from trainables.assemble import assemble", True),
    ],
)
def test_the_rules_see_what_they_should(path: str, source: str, allowed: bool) -> None:
    assert (breaches(path, source) == []) is allowed


def test_third_party_imports_are_declared() -> None:
    """What arrives only because another package needs it may be gone after that package's next release."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_normal(re.split(r"[\s\[<>=!~;]", entry, maxsplit=1)[0]) for entry in project["dependencies"]}
    distributions = packages_distributions()
    missing = {
        f"{relative(path)}:{item.line}: {top}"
        for path in modules()
        for item in imports(path.read_text(encoding="utf-8"))
        if (top := item.module.partition(".")[0]) not in {*PACKAGES, *sys.stdlib_module_names}
        and not declared & {_normal(name) for name in distributions.get(top, ())}
    }
    assert not missing, "not among pyproject's dependencies:\n" + "\n".join(sorted(missing))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_modules_stay_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert not {path: count for path, count in lengths.items() if count > MAX_LINES}


def test_only_the_store_knows_where_runs_lie() -> None:
    """``<out>/runs/<id>`` and the names of a run's files are spelled below ``suite/runs/``."""
    spelled = re.compile(r"""/ f?"runs["/]|"runs/\*|"(record\.json|outcomes\.npz|generations\.json\.z)\"""")
    found = [relative(path) for path in modules() if spelled.search(path.read_text(encoding="utf-8"))]
    assert [path for path in found if not path.startswith("suite/runs/")] == []


def test_no_module_is_named_after_nothing() -> None:
    named = [relative(path) for path in modules() if FORBIDDEN_NAMES & {*path.parent.parts[len(REPOSITORY.parts) :], path.stem}]
    assert not named


def loaded_by(*arguments: str, helps: int) -> set[str]:
    """Top-level names of all modules that this Python call imports; it must show at least ``helps`` help texts."""
    call = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Usage: codyra-suite") + done.stdout.count("Usage: python -m suite.cli.main") >= helps
    names = re.findall(r"^import time:.*\|\s*([\w.]+)\s*$", done.stderr, flags=re.MULTILINE)
    assert "typer" in names
    return {name.partition(".")[0] for name in names}


def test_help_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("-m", "suite.cli.main", "--help", helps=1)


def test_help_of_every_command_loads_nothing_heavy() -> None:
    script = """
import typer
from suite.cli.main import app

def show(command, context):
    command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        show(inner, type(context)(inner, info_name=name, parent=context))

root = typer.main.get_command(app)
show(root, root.make_context("codyra-suite", ["list"], resilient_parsing=True))
"""
    assert not HEAVY & loaded_by("-c", script, helps=15)
