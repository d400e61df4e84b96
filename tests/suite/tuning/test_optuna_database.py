"""A study's database that somebody holds, that is damaged, or that is gone."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from suite.config import validate
from suite.errors import ConfigError, DataError, SuiteError
from suite.tuning import optuna_database
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig

FIELDS = {
    "name": "s",
    "run": {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"]}},
    "space": "codyra-quick",
    "budget": {"trials": 2},
}


def study(folder: Path) -> StudyQueue:
    return StudyQueue(validate(StudyConfig, FIELDS, where="sweep.yaml"), folder)


def held(folder: Path) -> sqlite3.Connection:
    holder = sqlite3.connect(folder / "optuna.db", check_same_thread=False, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


@pytest.mark.slow
def test_a_database_that_is_held_for_longer_than_sqlite_waits_by_itself_is_waited_for(tmp_path: Path) -> None:
    source, holder = study(tmp_path), held(tmp_path)
    release = threading.Timer(6.0, holder.rollback)
    release.start()
    source.suggest()
    release.join()
    assert source.store.running() == [0]
    holder.close()


def test_one_that_stays_held_is_one_sentence_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_database, "LOCKED_SECONDS", 0.1)
    source, holder = study(tmp_path), held(tmp_path)
    for call in (source.suggest, lambda: study(tmp_path)):
        with pytest.raises(SuiteError, match=r"optuna\.db: another process has held it for 0.1 s; end that process"):
            call()
    holder.close()


@pytest.mark.parametrize(
    "data", [b"no database at all" * 100, b"SQLite format 3\x00" + b"\x01" * 5000], ids=["foreign", "damaged"]
)
def test_a_damaged_one_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_bytes(data)
    with pytest.raises(DataError, match=r"optuna\.db: is not a study's database, or a damaged one \(.*\); put a copy"):
        study(tmp_path)


def test_one_that_is_damaged_while_a_study_runs_is_one_sentence(tmp_path: Path) -> None:
    source = study(tmp_path)
    (tmp_path / "optuna.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"optuna\.db: is not a study's database"):
        source.suggest()


def test_one_that_is_missing_is_said_and_not_begun_anew(tmp_path: Path) -> None:
    from suite.tuning.run_settings import RunSettings
    from suite.workflows.sweeping import run_study

    folder = tmp_path / "studies" / "s"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("name: s\n")
    config = validate(StudyConfig, FIELDS, where="sweep.yaml")
    with pytest.raises(ConfigError, match=r"study 's': .*optuna\.db with its trials is missing; put it back"):
        run_study(config, RunSettings(tmp_path, tmp_path), "none", resume=True, accept_changes=False)
    assert [path.name for path in folder.iterdir()] == ["sweep.yaml"]
