"""A library that is not installed is named with what adds it; a module of the suite's own is a defect and keeps its traceback."""

from __future__ import annotations

import sys

import pytest

from suite.cli import main
from suite.errors import ConfigError
from suite.missing_packages import missing_package
from suite.tracking.mlflow_client import connect


def lost(module: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named '{module}'", name=module)


def test_the_name_is_that_of_the_package() -> None:
    assert missing_package(lost("sklearn.metrics")) == (
        "needs the Python package scikit-learn, which is not installed here; 'pip install scikit-learn' adds it"
    )
    assert missing_package(lost("suite.moved")) is None


def test_a_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def without_optuna() -> None:
        raise lost("optuna")

    monkeypatch.setattr(main, "app", without_optuna)
    monkeypatch.setattr(main, "command_among", lambda words: "sweep")
    monkeypatch.setattr(sys, "argv", ["codyra-suite", "sweep", "night.yaml"])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    needed = "needs the Python package optuna, which is not installed here; 'pip install optuna' adds it."
    assert capsys.readouterr().err == f"codyra-suite sweep: {needed}\n"


def test_tracking_without_mlflow_names_the_way_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="'sqlite:///x.db': needs the Python package mlflow.*, or give '--tracking none'"):
        connect("sqlite:///x.db")
