"""Which tracker a URI chooses, the one that logs nothing, and one of an outside package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from suite.cli.main import app
from suite.errors import ConfigError
from suite.tracking.mlflow_tracker import MlflowTracker
from suite.tracking.tensorboard_events import TensorBoardTracker
from suite.tracking.tracker import RunFolders, Tracker
from suite.tracking.trackers import TRACKERS, tracker_class, tracker_for

QUICK = ("run", "mini-mtil", "--method", "zero-shot", "--set", "benchmark.domains=[shapes,digits]", "--device", "cpu")
JOURNAL = """
from pathlib import Path
from suite.tracking.tracker import Tracker

class Journal(Tracker):
    name = "journal"
    usable = "a file"
    takes_files = False

    def check(self):
        self.file = Path(self.uri.partition(":")[2])

    def log_study(self, name, config, *, finished):
        pass

    def log_run(self, record):
        if not self.file.parent.is_dir():
            raise OSError(28, "No space left on device")
        self.file.write_text(record.run_id)

    def close(self):
        (self.file.parent / "closed").touch()

class Tabs(Tracker):
    takes_files = False

class Twin(Journal):
    pass

class Mute(Journal):
    name = "mute"

    def read_runs(self, fields, unreadable):
        raise KeyError("nothing")

    def close(self):
        pass
"""
OUTSIDER = {
    "outsider/__init__.py": "",
    "outsider/journal.py": JOURNAL,
    "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
    "outsider-1.0.dist-info/entry_points.txt": (
        "[codyra_suite.trackers]\njournal = outsider.journal:Journal\nstrange = outsider.journal:Path\nnone = outsider.journal:Journal\n"
        "tabs = outsider.journal:Tabs\ntwin = outsider.journal:Twin\nmute = outsider.journal:Mute\n"
    ),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (None, MlflowTracker),
        ("sqlite:///a/b.db", MlflowTracker),
        ("postgresql+psycopg://me:secret@host/db", MlflowTracker),
        ("https://host", MlflowTracker),
        ("tensorboard:events", TensorBoardTracker),
        ("none", RunFolders),
    ],
)
def test_the_scheme_chooses(uri: str | None, expected: type[Tracker]) -> None:
    assert type(tracker_for(uri, Path("out"))) is expected


@pytest.mark.parametrize("uri", ["wandb:folder", "folder/mlruns", "me:secret@host/db", "None"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(uri: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"--tracking: '[^:]*' is not a tracker; use one of {', '.join(sorted(TRACKERS))}"
    ) as refused:
        tracker_class(uri)
    assert "secret" not in str(refused.value)


def test_none_logs_nothing_and_tables_read_the_run_folders(tmp_path: Path) -> None:
    empty = call("leaderboard", "--tracking", "none")
    assert "codyra-runs/runs holds no run; name the folder that --out of the runs was" in str(empty.exception)
    done = call(*QUICK, "--tracking", "none")
    assert (done.exit_code, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codyra-runs"]
    assert not {"spool", "figures"} & {path.name for path in (tmp_path / "codyra-runs").iterdir()}
    assert "zero-shot" in call("leaderboard", "--tracking", "none").stdout
    assert "'nobody' is not a tracker" in str(call("leaderboard", "--tracking", "nobody:x").exception)
    missing = call("leaderboard", "--method", "lora", "--tracking", "none")
    assert "no run matches method = 'lora' (method alone leaves 0 of 1)" in str(missing.exception)


def test_an_outside_package_brings_its_own(installed: Callable[[dict[str, str]], Path]) -> None:
    installed(OUTSIDER)
    done = call(*QUICK, "--tracking", "journal:notes/journal")
    assert (done.exit_code, done.exception) == (0, None)
    assert "1 run waits in codyra-runs/spool/journal for journal to take them (refused: No space left on device)" in done.stderr
    Path("notes").mkdir()
    assert call(*QUICK, "--tracking", "journal:notes/journal").stderr == ""
    assert sorted(path.name for path in Path("notes").iterdir()) == ["closed", "journal"]
    assert "'outsider.journal:Path' is not a class derived from Tracker" in str(
        call(*QUICK, "--tracking", "strange:x").exception
    )
    for scheme, said in (
        ("tabs", "lacks name, usable, check, log_run, log_study"),
        ("twin", "calls itself 'journal', and its entry point is 'twin'"),
        ("mute", "KeyError: 'nothing' ("),
    ):
        told = str(call("leaderboard", "--tracking", f"{scheme}:x").exception)
        assert told.startswith(f"tracker '{scheme}' of package 'outsider 1.0': ") and said in told
    listed = CliRunner().invoke(app, ["list", "trackers"], env={"COLUMNS": "300"}).stdout
    assert (
        "from package 'outsider 1.0'" in listed
        and "tracker 'none' is added by the suite and by package 'outsider 1.0'" in listed
    )
