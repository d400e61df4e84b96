"""What libraries do to the process's loggers ends with their calls."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from suite.backbones.open_clip_network import load_open_clip
from suite.loggers import kept, quieted
from suite.tracking.mlflow_client import connect
from suite.tuning.optuna_database import open_database


def test_a_quieted_logger_says_errors_and_is_then_as_before(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("quieted.example")
    logger.setLevel(logging.INFO)
    with quieted(["quieted.example"]):
        logger.warning("not said")
        logger.error("said")
    logger.info("said again")
    assert [record.getMessage() for record in caplog.records] == ["said", "said again"]


def test_a_file_config_inside_switches_nothing_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import logging.config

    file = tmp_path / "logging.ini"
    file.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=console\n[formatters]\nkeys=\n[logger_root]\nlevel=CRITICAL\nhandlers=console\n"
        "[handler_console]\nclass=StreamHandler\nargs=()\n"
    )
    mine = logging.getLogger("kept.example")
    with kept():
        logging.config.fileConfig(file)
        assert mine.disabled
    mine.warning("heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]


def test_a_study_and_a_tracking_store_leave_our_loggers_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = logging.getLogger("trainables.example")
    open_database(tmp_path)
    connect(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    ours.warning("still heard")
    assert "still heard" in [record.getMessage() for record in caplog.records]


def test_random_weights_that_were_asked_for_need_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    load_open_clip("ViT-S-32-alt", None)
    assert caplog.records == []
    logging.getLogger().warning("heard afterwards")
    assert len(caplog.records) == 1
