"""Runs and studies as event files, read back with TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from suite.cli.main import app
from suite.config import RunConfig
from suite.errors import ConfigError
from suite.runs.record import Record, write_record
from suite.tracking.delivery import Delivery, open_delivery
from suite.tracking.run_metrics import row_metrics, summary_metrics
from suite.tracking.tracker import Target
from trainables.run import RunContext, execute

pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def stored(make_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    out = tmp_path_factory.mktemp("runs")
    return execute(make_config("codyra"), RunContext(out, out, "cpu")), out


@pytest.fixture
def delivery(stored: tuple[Record, Path], tmp_path: Path) -> Delivery:
    return open_delivery(f"tensorboard:{tmp_path / 'events'}", stored[1])


def runs(folder: Path) -> dict[str, Any]:
    """Name of a run as TensorBoard shows it -> what its reader finds there."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    found = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    return {name: found.GetAccumulator(name) for name in found.Runs()}


def text(run: Any, tag: str) -> str:
    (event,) = run.Tensors(f"{tag}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_a_run_is_there_once_with_all_its_numbers(stored: tuple[Record, Path], delivery: Delivery, tmp_path: Path) -> None:
    record = stored[0]
    part = record.model_copy(
        update={
            "status": "stopped",
            "test": record.test[:2],
            "validation": record.validation[:2],
            "results": record.results[:2],
        }
    )
    for told in (part, record, record):
        assert delivery.log_run(told)
    ((name, run),) = runs(tmp_path / "events").items()
    assert name == f"{record.benchmark}-codyra-seed{record.config['seed']}-id={record.run_id}"
    assert [path.name for path in (tmp_path / "events" / name).iterdir()] == ["events.out.tfevents.run"]
    for row in range(len(record.test)):
        for key, value in row_metrics(record, row).items():
            assert [event.value for event in run.Scalars(key) if event.step == row] == [pytest.approx(value)]
    for key, value in summary_metrics(record).items():
        assert [(event.step, event.value) for event in run.Scalars(key)] == [(record.tasks_done, pytest.approx(value))]
    assert f"| nothing | {record.test[0][0]:.2f} |" in text(run, "matrix/test")
    assert f"| status | {record.status} |" in text(run, "run")
    assert "method.rank: 16" in text(run, "config")


def test_parameters_reach_the_table_of_hyperparameters(stored: tuple[Record, Path], delivery: Delivery, tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    delivery.log_run(stored[0])
    (run,) = runs(tmp_path / "events").values()
    told = HParamsPluginData()
    told.ParseFromString(run.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    shown = told.session_start_info.hparams
    assert (shown["method.rank"].number_value, shown["method.name"].string_value) == (16.0, "codyra")


def test_a_study_is_a_folder_around_its_runs(stored: tuple[Record, Path], delivery: Delivery, tmp_path: Path) -> None:
    record, out = stored[0].model_copy(update={"study": "night", "trial": 0}), stored[1]
    write_record(record, out / "runs" / record.run_id)
    picture = tmp_path / "matrix.png"
    from PIL import Image

    Image.new("RGB", (8, 6), "red").save(picture)
    for target in (Target("run", record.run_id), Target("study", "night")):
        assert not delivery.attach(target, [picture], "pictures")
    for _ in range(2):
        assert delivery.log_study("night", {"budget": {"trials": 3}})
        assert delivery.log_run(record.model_copy(update={"reused_by": {"day": 1}}))
        assert delivery.log_table("night", {"trial": ["0"], "reason": ["a|b"]}, "trials.json")
        for target in (Target("run", record.run_id), Target("study", "night")):
            assert delivery.attach(target, [picture, tmp_path / "matrix.svg"], "pictures")
            assert delivery.holds(target, [picture], "pictures")
    assert delivery.end_study("night", finished=True)
    found = runs(tmp_path / "events")
    assert [name.partition("-id=")[0] for name in sorted(found)] == [
        "night",
        f"night/{record.benchmark}-codyra-seed{record.config['seed']}",
    ]
    for run in found.values():
        (image,) = run.Images("pictures/matrix")
        assert (image.width, image.height) == (8, 6)
    assert text(found["night"], "study/state") == "finished"
    assert text(found["night"], "study/settings").strip() == "budget.trials: 3"
    assert text(found["night"], "study/trials").splitlines()[-1] == "| 0 | a&#124;b |"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("tensorboard:", "names no folder; write tensorboard:FOLDER"),
        ("tensorboard://host/x", "names no folder"),
        ("tensorboard:/proc/events", "cannot be used .*; name a folder that you may write with --tracking"),
        ("tensorboard:{file}", "cannot be used .*; name a folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_said_first(uri: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message):
        open_delivery(uri.format(file=tmp_path / "file"), tmp_path)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        ConfigError,
        match=r"the package 'tensorboard' is not installed; install it with pip install 'codyra-suite\[tensorboard\]'",
    ):
        open_delivery(f"tensorboard:{tmp_path}", tmp_path)


def test_what_a_folder_refuses_waits_and_is_delivered(stored: tuple[Record, Path], delivery: Delivery, tmp_path: Path) -> None:
    record, out = stored
    blocked = tmp_path / "events" / f"{record.benchmark}-codyra-seed{record.config['seed']}-id={record.run_id}"
    blocked.touch()
    assert not delivery.log_run(record)
    assert f"1 run waits in {out}/spool/tensorboard for tensorboard to take them (refused: " in str(delivery.spool.sentence())
    with open_delivery("none", out) as other:
        assert other.log_run(record)
    blocked.unlink()
    assert open_delivery(delivery.tracker.uri, out).spool.sentence() is None
    assert len(runs(tmp_path / "events")) == 1


def test_a_command_logs_and_its_table_reads_the_run_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("run", "mini-mtil", "--method", "zero-shot", "--set", "benchmark.domains=[shapes,digits]", "--device", "cpu")
    for _ in range(2):
        done = CliRunner().invoke(app, [*quick, "--tracking", "tensorboard:events"])
        assert (done.exit_code, done.stderr) == (0, ""), done.exception
    (run,) = runs(tmp_path / "events").values()
    assert len(run.Images("pictures/accuracy_matrix")) == 1
    board = CliRunner().invoke(app, ["leaderboard", "--tracking", "tensorboard:events"])
    assert "zero-shot" in board.stdout
    assert not (tmp_path / "mlflow.db").exists()
