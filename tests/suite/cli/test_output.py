"""Where ``-`` or another name of standard output is given, standard output holds the data alone."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from suite.cli.main import main


@pytest.mark.parametrize("place", ["-", "/dev/stdout"])
def test_a_table_on_standard_output_can_be_piped_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ask = ["leaderboard", "--published", "--benchmark", "xtail", "--tracking", "none"]
    monkeypatch.setattr(sys, "argv", ["codyra-suite", *ask, "--csv", place])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    data, said = capfd.readouterr()
    assert len(pd.read_csv(StringIO(data))) > 5
    assert "xtail" in said


def test_a_device_takes_a_table_and_stays_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kept.csv").write_text("old")
    Path("kept.csv").chmod(0o600)
    Path("link.csv").symlink_to("kept.csv")
    ask = ["leaderboard", "--published", "--benchmark", "xtail", "--tracking", "none"]
    monkeypatch.setattr(sys, "argv", ["codyra-suite", *ask, "--html", "/dev/null", "--csv", "link.csv"])
    with pytest.raises(SystemExit):
        main()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert Path("link.csv").is_symlink()
    assert len(pd.read_csv("kept.csv")) > 5
    assert stat.S_IMODE(Path("kept.csv").stat().st_mode) == 0o600


def test_json_stands_alone_on_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ask = ["codyra-suite", "leaderboard", "--published", "--benchmark", "xtail", "--tracking", "none", "--json", "--csv"]
    for file, code in (("board.csv", 0), ("-", 2)):
        monkeypatch.setattr(sys, "argv", [*ask, file])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        data, said = capsys.readouterr()
        assert said.endswith("csv: board.csv\n" if code == 0 else "both write to standard output; give one of them a file.\n")
        rows = json.loads(data) if code == 0 else []
        assert len(rows) == (len(pd.read_csv("board.csv")) if code == 0 else 0)
    assert rows == []


def test_standard_output_may_be_closed(tmp_path: Path) -> None:
    """As daemons and cron jobs have it; Python then has no stream, and the next file would be number 1."""
    call = ["sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-m", "suite.cli.main", "list", "benchmarks"]
    done = subprocess.run(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_standard_output_is_named(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "suite.cli.main", "list", "benchmarks"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("codyra-suite list benchmarks: standard output: No space left on device")
