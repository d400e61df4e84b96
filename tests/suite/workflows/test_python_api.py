"""The Python API: light to import, typed, silent; it leaves the records that the commands leave and raises SuiteError."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import suite
from suite.cli.main import app
from suite.errors import SuiteError
from suite.runs.record import read_record
from suite.workflows import API
from suite.workflows.progress import Watcher, Work

SETTINGS = {"benchmark.domains": ["shapes", "digits"], "benchmark.shots": 4}
REPOSITORY = Path(suite.__file__).parent.parent


class Notebook:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.began: list[str] = []
        self.units: list[float] = []

    @contextmanager
    def begin(self, title: str, total: int | None) -> Iterator[Work]:
        self.began.append(title)
        yield self

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def expect(self, total: int) -> None:
        self.units.append(-total)

    def done(self, units: float, note: str = "") -> None:
        self.units.append(units)

    def step(self, task: int, step: int, steps: int, loss: float) -> None:
        self.units.append(task + step / steps)


def test_the_package_is_light_and_names_its_functions() -> None:
    code = "import sys, suite; print(sorted(set(dir(suite)) & set(suite.workflows.API)), [m for m in ('torch', 'ray', 'pandas', 'pydantic', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == f"{sorted(API)} []"
    with pytest.raises(AttributeError, match="no attribute 'swep'; its functions are run, compare"):
        suite.swep  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_same_functions() -> None:
    stub = ast.parse((REPOSITORY / "suite" / "__init__.pyi").read_text(encoding="utf-8"))
    typed = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == {name: f"suite.workflows.{module}" for name, module in API.items()}
    for name in API:
        assert (getattr(suite, name).__doc__ or "").strip()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one zero-shot run of the Python API."""
    folder = tmp_path_factory.mktemp("api")
    suite.run("mini-mtil", method="zero-shot", settings=SETTINGS, out=folder / "out", tracking="none")
    return folder


def test_the_command_leaves_the_same_record(place: Path, tmp_path: Path) -> None:
    words = [
        "run",
        "mini-mtil",
        "--method",
        "zero-shot",
        "--set",
        "benchmark.domains=[shapes,digits]",
        "--set",
        "benchmark.shots=4",
    ]
    done = CliRunner().invoke(app, [*words, "--tracking", "none", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    (ours,), (theirs,) = (folder.glob("runs/*") for folder in (place / "out", tmp_path / "out"))
    assert ours.name == theirs.name
    own, other = read_record(ours), read_record(theirs)
    for field in ("config", "test", "validation", "data_fingerprint", "code_version", "item_digests", "status"):
        assert getattr(own, field) == getattr(other, field), field
    assert [result.digests["outcomes"] for result in own.results] == [result.digests["outcomes"] for result in other.results]


def test_a_run_is_silent_and_tells_its_watcher(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watcher = Notebook()
    fresh = suite.run(
        "mini-mtil",
        method="zero-shot",
        settings=["benchmark.domains=[shapes]", "benchmark.shots=4"],
        out=place / "one",
        tracking="none",
        watcher=watcher,
    )
    again = suite.run(
        "mini-mtil",
        method="zero-shot",
        settings={"benchmark.domains": ["shapes"], "benchmark.shots": 4},
        out=str(place / "one"),
        tracking="none",
    )
    assert (fresh.was_found, again.was_found, again.record) == (False, True, fresh.record)
    assert again.outcomes().keys() == fresh.outcomes().keys() != set()
    assert watcher.began == ["opening the tracker", "mini-mtil zero-shot"]
    assert {-1, 0, 1} <= set(watcher.units)
    assert capfd.readouterr() == ("", "")


def test_a_run_that_broke_a_second_time_was_not_found(tmp_path: Path) -> None:
    """It had trained, diverged, and was shown as "found, not trained", because row 0 was there already."""
    settings = {**SETTINGS, "training.steps": 3, "training.lr": 1e30}
    for _ in range(2):
        done = suite.run("mini-mtil", method="lora", settings=settings, out=tmp_path, tracking="none")
        assert (done.record.status, done.was_found) == ("failed", False)


def test_tables_are_frames_with_the_documented_columns(place: Path) -> None:
    (found,) = suite.runs(out=place / "out", method="zero-shot")
    matrix = found.record.matrix()
    assert (list(matrix.index), matrix.index.name) == (["nothing", "shapes", "digits"], "after")
    assert list(matrix.columns) == ["shapes", "digits"]
    assert matrix.to_numpy().tolist() == found.record.test
    assert found.record.matrix("validation").shape == (3, 2)
    for split in ("validaton", 3, ["test"]):  # gave validation numbers
        with pytest.raises(SuiteError, match="is not a split; use one of test, validation"):
            found.record.matrix(split)  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"^no run matches benchmark = 'mini-mitl' .* \(nearest: 'mini-mtil'\)"):
        suite.runs(out=place / "out", benchmark="mini-mitl")
    board = suite.leaderboard(out=place / "out", tracking="none")
    assert {"benchmark", "setting", "method", "zscl.last", "zscl.last std", "n", "seeds", "wall_seconds", "runs"} <= set(
        board.columns
    )
    assert board["runs"].tolist() == [found.record.run_id]
    assert {"published", "own", "verdict"} <= set(
        suite.reproduction(benchmark="xtail", out=place / "out", tracking="none").columns
    )


def test_a_page_says_where_it_lies_and_what_it_shows(place: Path) -> None:
    page = suite.report(place / "page.html", out=place / "out", tracking="none")
    assert (page.path.read_text(), page.runs) == (page.html, 1)


def test_what_cannot_be_read_goes_to_the_watcher_or_the_log(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run,) = suite.runs(out=place / "out")
    for name in (run.record.run_id, "damaged"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "record.json").write_bytes((run.folder / "record.json").read_bytes())
    watcher: Watcher = Notebook()
    with caplog.at_level(logging.WARNING, "suite"):
        assert len(suite.runs(out=tmp_path, watcher=watcher)) == len(suite.runs(out=tmp_path)) == 1
    assert isinstance(watcher, Notebook)
    assert [record.getMessage() for record in caplog.records] == watcher.said
    assert "left out: " in watcher.said[0] and "damaged" in watcher.said[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: suite.run("mini-mitl", out=out), "nearest: 'mini-mtil'"),
        (lambda out: suite.run("mini-mtil", settings={"method.rnak": 4}, out=out), "method.rnak: unknown key"),
        (lambda out: suite.run("mini-mtil", device="warp", out=out, tracking="none"), "is not a device"),
        (lambda out: suite.compare(["mini-mtil"], ["lorra"], out=out), "nearest: 'lora'"),
        (lambda out: suite.compare(["mini-mtil"], ["lora", "codyra"], settings={"codyra.rank": 0}, out=out), r"codyra\.rank"),
        (lambda out: suite.sweep(out / "none.yaml", out=out), "no such file"),
        (
            lambda out: suite.sweep(
                {"name": "n", "run": {"benchmark": "mini-mtil", "method": "codyra"}, "space": "none"}, out=out
            ),
            "'none' is not a",
        ),
        (lambda out: suite.plan({"name": "n"}, out=out), "sweep: "),
        (lambda out: suite.runs(out=out), "holds no run; name the folder that --out of the runs was"),
        (lambda out: suite.leaderboard(out=out, tracking="none"), "holds no run"),
        (
            lambda out: suite.reproduction(benchmark="mini-mtil", out=out, tracking="none"),
            "no published numbers for 'mini-mtil'",
        ),
        (lambda out: suite.report(out / "page.html", out=out, tracking="none"), "holds no run"),
        (lambda out: suite.repeat("0000", out=out), "no such run"),
        (lambda out: suite.export("0000", "onnx", out=out), "'onnx' is not an export format"),
        (lambda out: suite.rescore("0000", "trace", out=out, tracking="none"), "no such run"),
    ],
)
def test_a_mistake_is_a_suite_error_and_leaves_nothing(call: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=message):
        call(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}
