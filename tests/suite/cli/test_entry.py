"""Where a job's results go: below the home folder or where it was told, never into the job's own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.cli.entry import command_arguments
from suite.tuning.tuning_folder import TuningFolder

HOME = Path("/home/someone")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "CODYRA_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def options(*given: str) -> dict[str, str]:
    arguments = command_arguments(given, HOME)
    assert arguments[:2] == ["sweep", "night.yaml"]
    return {key: arguments[arguments.index(key) + 1] for key in ("--out", "--data-root", "--tracking")}


def test_by_default_everything_lies_below_home() -> None:
    assert options("night.yaml") == {
        "--out": "/home/someone/codyra-runs",
        "--data-root": "/home/someone/data",
        "--tracking": "sqlite:////home/someone/codyra-runs/mlflow.db",
    }


def test_full_paths_and_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODYRA_DATA", "/nfs/data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert options("night.yaml", "--out=/nfs/out") == {
        "--out": "/nfs/out",
        "--data-root": "/nfs/data",
        "--tracking": "http://127.0.0.1:5000",
    }


def test_the_clusters_ray_is_used_and_the_rest_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = command_arguments(["--", "night.yaml", "--resume", "--device", "cuda"], HOME)
    assert arguments[-5:] == ["--address", "auto", "--resume", "--device", "cuda"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "--address" not in command_arguments(["night.yaml"], HOME)


def test_a_wrong_file_is_left_to_the_command(tmp_path: Path) -> None:
    """It says what is wrong in one sentence; here it would be a traceback in a job's log."""
    (tmp_path / "night.yaml").write_text("space: lora\n")
    assert "--resume" not in command_arguments([str(tmp_path / "night.yaml"), "--go-on"], tmp_path)


def test_the_file_of_a_tuning_is_tuned_and_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "fair.yaml"
    file.write_text("benchmarks: [mini-mtil]\nmethods: [zero-shot, lora]\nbudget: {trials: 1}\n")
    given = [str(file), "--go-on", "--out=runs"]
    first = command_arguments(given, tmp_path)
    assert first[:2] == ["tune", str(file)] and "--resume" not in first
    TuningFolder(tmp_path / "runs", "fair").begin({})
    assert "--resume" in command_arguments(given, tmp_path)
    file.write_text("benchmarks: [mini-mtil]\n")
    assert command_arguments(given, tmp_path)[0] == "tune"  # which says what is wrong


def test_go_on_resumes_a_study_that_has_begun(tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text("run: {benchmark: mini-mtil, method: lora}\nspace: lora\n")
    given = [str(file), "--go-on", "--out=runs"]
    assert "--resume" not in command_arguments(given, tmp_path)
    (tmp_path / "runs" / "studies" / "night").mkdir(parents=True)
    (tmp_path / "runs" / "studies" / "night" / "sweep.yaml").write_text("")
    assert "--resume" in command_arguments(given, tmp_path)
