"""What the reference is made from is there: every config field has a meaning, every public function names its arguments."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

import suite
from suite.config import RunConfig
from suite.parts import PartConfig, ReferencesConfig, TaskTraining, TrainingConfig
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from suite.tuning.stopping import StoppingConfig
from suite.tuning.study_config import Budget, Limit, StudyConfig, WarmStart
from suite.tuning.tune_config import Judge, TuneBudget, TuneConfig
from suite.workflows import API
from suite.workflows.meanings import SAID_HERE, meanings
from trainables.resources import Resources

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"
FILES = (RunConfig, TrainingConfig, TaskTraining, ReferencesConfig, StudyConfig, Budget, Limit, WarmStart, StoppingConfig)
FILES += (Resources, TuneConfig, TuneBudget, Judge)
# What somebody who has just come here needs, and how many clicks from the start page it may be.
NEEDED = ("install.md", "tutorial.md", "own_images.md", "plugins.md", "report.md")
CLICKS = 2


def all_configs() -> list[type[BaseModel]]:
    tables = (METHODS, BENCHMARKS, BACKBONES)
    return [*FILES, *(table[name] for table in tables for name in table if table.entries[name].package is None)]


def fields(config: type[BaseModel]) -> set[str]:
    return set(config.model_fields) - ({"name"} if issubclass(config, PartConfig) else set())


def test_every_config_field_has_a_meaning() -> None:
    without = {f"{config.__name__}.{field}" for config in all_configs() for field in fields(config) - set(meanings(config))}
    assert without == set()
    assert sum(len(fields(config)) for config in all_configs()) > 400


def test_meanings_that_are_said_apart_belong_to_a_field() -> None:
    known = {name for config in all_configs() for name in fields(config)}
    owned = {f"{base.__name__}.{name}" for config in all_configs() for base in config.__mro__ for name in fields(config)}
    assert set(SAID_HERE) <= known | owned


def described(name: str) -> set[str]:
    """Arguments that the docstring of a public function describes, or that of one which it names (``as in ``run````)."""
    said = inspect.getdoc(getattr(suite.workflows, name)) or ""
    own = {word for line in re.findall(r"^    ([\w, ]+):", said, flags=re.MULTILINE) for word in line.split(", ")}
    others = set(re.findall(r"``(\w+)``", said)) & set(API) - {name}
    return own.union(*(described(other) for other in others))


@pytest.mark.parametrize("name", sorted(API))
def test_every_public_function_says_what_its_arguments_are(name: str) -> None:
    common = {"watcher", "out", "tracking"}  # of every function, described at ``run``
    assert common <= described("run")
    assert set(inspect.signature(getattr(suite.workflows, name)).parameters) - described(name) - common == set()


def test_newcomers_pages_are_near_the_start_page() -> None:
    reached = {"index.md"}
    for _ in range(CLICKS):
        texts = [(DOCUMENTS / name).read_text(encoding="utf-8") for name in reached]
        reached |= {name for text in texts for name in re.findall(r"\]\(([\w/]+\.md)", text) if (DOCUMENTS / name).is_file()}
    assert set(NEEDED) <= reached


def test_every_page_is_in_the_sites_navigation() -> None:
    text = (DOCUMENTS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    sections = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    named = [page for section in sections for pages in section.values() for page in pages]
    assert {path.name for path in DOCUMENTS.glob("*.md")} <= set(named)
    assert len(named) == len(set(named))
