"""MLflow at the command line: what cannot be used is said before anything is trained, what waits is said by every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from suite.cli.main import app
from suite.errors import ConfigError, DataError
from suite.tracking.mlflow_reader import read_runs

NOBODY = "http://127.0.0.1:9"
QUICK = ("run", "mini-mtil", "--method", "zero-shot", "--set", "benchmark.domains=[shapes,digits]", "--device", "cpu")
ODD = ("cats & dogs", "pets (oxford)", "a,b", "C++ code", "100 %", "x" * 240, "漢" * 80)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A URI of the test's own; MLflow keeps one open store per URI and process, wherever a relative one pointed to first."""
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///junk.db", "cannot be used (file is not a database)"),
        ("sqlite:////proc/mlflow.db", "cannot be used (unable to open database file)"),
        ("sqlite:///folder", "cannot be used (unable to open database file)"),
        ("postgresql+nodriver://me:secret@127.0.0.1:9/db", "postgresql+nodriver://me:***@127.0.0.1:9/db': cannot be used"),
        ("nope://x", "--tracking: 'nope' is not a tracker; use one of databricks, http,"),
        ("some/folder", "'some/folder' is not a tracker"),
    ],
)
def test_a_database_that_cannot_be_used_costs_no_training(uri: str, reason: str) -> None:
    Path("junk.db").write_bytes(b"junk" * 1000)
    Path("folder").mkdir()
    done = call(*QUICK, "--tracking", uri)
    assert isinstance(done.exception, ConfigError), done.exception
    assert reason in str(done.exception) and "\n" not in str(done.exception)
    assert not Path("codyra-runs/runs").exists()


def require_refusal_leaves_no_folder(database: str) -> None:
    """Of a command whose data are not there, which is found out after MLflow made its database."""
    before = {*Path().iterdir()}
    done = call("run", "mtil", "--method", "zero-shot", "--out", "deep/out", "--device", "cpu", "--tracking", database)
    assert isinstance(done.exception, DataError), done.exception
    assert {*Path().iterdir()} - before == {Path("mlflow.db")}


def test_a_server_that_is_away_is_said_and_what_waits_is_delivered(database: str) -> None:
    done = call(*QUICK, "--tracking", NOBODY)
    before, after = done.stderr.strip().splitlines()
    assert (done.exit_code, done.exception) == (0, None)
    assert before.startswith(f"tracking '{NOBODY}': does not answer (Connection refused)")
    waits = "tracking: 1 run waits in codyra-runs/spool/mlflow for mlflow to take them (Connection refused)"
    assert after.startswith(waits)
    for command in (("leaderboard",), ("report", "--file", "page.html")):
        assert call(*command, "--tracking", database).stderr.startswith(waits)
        assert call(*command, "--tracking", "none").stderr == ""  # it could not take them
    spool = Path("codyra-runs/spool/mlflow")
    (note,) = spool.glob("*.json")
    note.write_bytes(b'\xff{"reason": [')
    (spool / "gone.json").write_text("{}")
    (spool / "folder.json").mkdir()
    (spool / "studies").mkdir()
    (spool / "studies" / "night.json").write_text("[1]")
    require_refusal_leaves_no_folder(database)
    done = call(*QUICK, "--tracking", database)
    assert (done.exit_code, done.stderr) == (0, "")
    (stored,) = read_runs(database)
    assert stored.record.run_id == note.stem
    assert call("leaderboard", "--tracking", database).stderr == ""


@pytest.fixture
def odd_images() -> None:
    """``data``: one domain per odd name, with random pictures."""
    pictures = np.random.default_rng(0)
    for domain in ODD:
        for split in ("train", "test"):
            for name in ("circle", "square"):
                folder = Path("data") / domain / split / name
                folder.mkdir(parents=True)
                for number in range(2):
                    Image.fromarray(pictures.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def test_names_that_mlflow_refuses_reach_the_leaderboard(odd_images: None, image_cache: Path, database: str) -> None:
    settings = ("--set", "benchmark.cached=true", "--set", "benchmark.validation_share=0.5")
    done = call("run", "image-folders", "--method", "zero-shot", *settings, "--device", "cpu", "--tracking", database)
    assert done.exit_code == 0, done.exception or done.stderr
    assert "waits" not in done.stderr
    (stored,) = read_runs(database)
    assert sorted(stored.record.tasks) == sorted(ODD)
    run = stored.files.place.client.get_run(stored.mlflow_run_id)
    assert {"test/cats :26: dogs", "test/C:2b::2b: code", "test/pets :28:oxford:29:"} <= run.data.metrics.keys()
    assert image_cache.is_dir()
    assert sum(key.startswith("test/") for key in run.data.metrics) == len(ODD)
    board = call("leaderboard", "--tracking", database)
    assert "zero-shot" in board.stdout and "cats & dogs" in board.stdout


@pytest.mark.slow
def test_a_comparison_carries_such_names(odd_images: None, database: str) -> None:
    """The folders that Ray Tune makes are named after its trials and not after their settings."""
    settings = ("--set", f"benchmark.domains=[{ODD[-1]}, 'cats & dogs', {ODD[-2]}]", "--set", "benchmark.validation_share=0.5")
    done = call("compare", "-b", "image-folders", "-m", "zero-shot", *settings, "--device", "cpu", "--tracking", database)
    assert done.exit_code == 0, done.exception or done.stderr
    assert len(list(read_runs(database))) == 1
