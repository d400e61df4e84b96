"""Who may import whom, which library sits behind which files, how long things are, and what ``--help`` must not load.

The house has floors. A module imports its own package and the floors below it, also inside functions and for types alone, and no
chain of imports leads back to where it began.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("suite", "trainables", "baselines", "search_spaces")

# Lowest first. A module belongs to the name that is nearest to its own; it imports what has the same name and the floors below.
FLOORS = (
    ("suite.errors", "suite.counting"),
    (
        "suite.files",
        "suite.hardware",
        "suite.loggers",
        "suite.proxies",
        "suite.randomness",
        "suite.registration",
        "suite.signals",
    ),
    ("suite.hashing", "suite.settings", "suite.yaml_files", "suite.cost_meter", "suite.side_stream"),
    ("suite.data", "suite.lowrank", "suite.metrics"),
    ("suite.benchmarks.stream", "suite.tuning.space"),  # four nouns stand below the configs that name them
    ("suite.backbones.learner",),
    ("trainables.method",),
    ("suite.parts",),
    ("suite.registry",),
    ("suite", "suite.config"),
    ("suite.benchmarks", "suite.runs"),
    ("suite.backbones",),
    ("trainables",),
    ("baselines",),
    ("suite.tracking", "suite.tuning", "search_spaces"),
    ("suite.leaderboard",),
    ("suite.plots",),
    ("suite.workflows",),
    ("suite.measuring", "suite.testing"),
    ("suite.cli",),
)
# Library -> the only files that may import it, inside functions too.
HOMES = {
    "ray": ("suite/tuning/*.py", "trainables/direct.py", "trainables/train.py"),
    "optuna": ("suite/tuning/*.py", "suite/measuring/faults.py", "suite/measuring/sampler_history.py"),
    "mlflow": ("suite/tracking/mlflow_*.py",),
    "open_clip": ("suite/backbones/open_clip_network.py", "suite/backbones/pretrain_clip.py"),
    "transformers": (
        "suite/backbones/causal_lm.py",
        "suite/backbones/causal_learner.py",
        "suite/backbones/generation.py",
        "suite/backbones/lm_*.py",
        "suite/backbones/pretrain_lm.py",
    ),
    "matplotlib": ("suite/leaderboard/*.py", "suite/plots.py"),
    "seaborn": ("suite/leaderboard/*.py",),
}
HEAVY = {*HOMES, "torch", "torchvision", "pandas", "scipy", "sklearn", "sqlalchemy", "pyarrow"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
PINNED_BY_TORCH = {"triton"}  # comes with torch's builds for CUDA, which name its exact version; imported where it is there
MAX_LINES = 330
TIGHTER = {"trainables/stream_trainer.py": 270}  # one loop: what is not the loop stands elsewhere
MAX_FUNCTION_LINES = 60


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, its line, and the names taken out of it."""

    module: str
    line: int
    names: tuple[str, ...] = ()


def imports(source: str) -> Iterator[Import]:
    """Every import of a module, those inside functions and ``if TYPE_CHECKING`` included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(f"{'.' * node.level}{node.module or ''}", node.lineno, tuple(alias.name for alias in node.names))


def breaches(path: str, source: str) -> list[str]:
    """One line per import in ``source`` that a file at ``path`` (relative, with '/') may not have."""
    found = []
    for item in imports(source):
        top = item.module.partition(".")[0]
        upward = top in PACKAGES and any(is_upward(dotted(path), target) for target in targets(item))
        homeless = top in HOMES and not any(fnmatch(path, home) for home in HOMES[top])
        if upward or homeless or item.module.startswith("."):
            found.append(f"{path}:{item.line}: imports {item.module}")
    return found


def dotted(path: str) -> str:
    """``suite/runs/store.py`` -> ``suite.runs.store``, ``suite/runs/__init__.py`` -> ``suite.runs``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def targets(item: Import) -> list[str]:
    """The modules that an import of our own packages loads by name: ``from suite.cli import perf`` is ``suite.cli.perf``."""
    inner = [f"{item.module}.{name}" for name in item.names]
    found = [name for name in inner if (REPOSITORY / f"{name.replace('.', '/')}.py").is_file()]
    return found if inner and len(found) == len(inner) else [item.module, *found]


def is_upward(module: str, target: str) -> bool:
    """Whether ``target`` stands not below ``module``, and not with it under one name."""
    height, name = floor(module)
    target_height, target_name = floor(target)
    return target_name != name and target_height >= height


def floor(module: str) -> tuple[int, str]:
    """How high a module stands, 0 the lowest, and the name that says so."""
    name = module
    while name:
        for height, names in enumerate(FLOORS):
            if name in names:
                return height, name
        name = name.rpartition(".")[0]
    raise AssertionError(f"{module} is on no floor")


def circles(graph: Mapping[str, set[str]]) -> set[str]:
    """Modules from which a chain of imports leads back to themselves."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            new = graph.get(ahead.pop(), set()) - found
            found |= new
            ahead += new
        return found

    return {module for module in graph if module in reached(module)}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_every_import_keeps_the_rules() -> None:
    found = [line for path in modules() for line in breaches(relative(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_no_chain_of_imports_leads_back() -> None:
    graph = {
        dotted(relative(path)): {
            target
            for item in imports(path.read_text(encoding="utf-8"))
            if item.module.partition(".")[0] in PACKAGES
            for target in targets(item)
        }
        for path in modules()
    }
    assert not circles(graph)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"b", "c"}


@pytest.mark.parametrize(
    ("path", "source", "allowed"),
    [
        ("suite/runs/record.py", "import trainables.run", False),
        ("suite/cli/run.py", "def run():\n    from trainables.run import execute", True),
        ("suite/tuning/study.py", "def run():\n    from suite.cli import run", False),
        ("suite/config.py", "if TYPE_CHECKING:\n    from trainables.run import execute", False),
        ("suite/parts.py", "if TYPE_CHECKING:\n    from trainables.method import Method", True),
        ("suite/data/draws.py", "from suite.settings import Settings", True),
        ("suite/data/draws.py", "from suite.metrics.matrix import AccuracyMatrix", False),
        ("suite/data/draws.py", "from suite.benchmarks.stream import Stream", False),
        ("suite/benchmarks/stream.py", "from suite.data.draws import draw", True),
        ("trainables/run.py", "def run():\n    from search_spaces.lora import SPACE", False),
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
    declared, of_tests = (
        {_normal(re.split(r"[\s\[<>=!~;]", entry, maxsplit=1)[0]) for entry in entries}
        for entries in (project["dependencies"], project["optional-dependencies"]["testing"])
    )
    distributions = packages_distributions()
    missing = {
        f"{relative(path)}:{item.line}: {top}"
        for path in modules()
        for item in imports(path.read_text(encoding="utf-8"))
        if (top := item.module.partition(".")[0]) not in {*PACKAGES, *sys.stdlib_module_names, *PINNED_BY_TORCH}
        and not (declared | (of_tests if "testing" in path.parts else set()))
        & {_normal(name) for name in distributions.get(top, ())}
    }
    assert not missing, "not among pyproject's dependencies:\n" + "\n".join(sorted(missing))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_modules_stay_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert not {path: count for path, count in lengths.items() if count > TIGHTER.get(path, MAX_LINES)}


def test_functions_stay_short() -> None:
    assert not {
        f"{relative(path)}: {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    }


def test_only_the_store_knows_where_runs_lie() -> None:
    """``<out>/runs/<id>`` and the names of a run's files are spelled below ``suite/runs/``."""
    spelled = re.compile(r"""/ f?"runs["/]|"runs/\*|"(record\.json|outcomes\.rows|generations\.json\.z)\"""")
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
