"""What ``--dry-run`` says about runs that have not been made."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from suite.cli.main import app


def test_a_dry_run_names_the_limit_and_leaves_nothing(tmp_path: Path) -> None:
    small = ["--set", "benchmark.domains=[shapes]", "--set", "benchmark.shots=4", "--limit", "2"]
    asked = [
        "run",
        "mini-mtil",
        "--method",
        "zero-shot",
        *small,
        "--out",
        str(tmp_path / "runs"),
        "--tracking",
        "none",
        "--dry-run",
    ]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    assert "mini-mtil (limit 2)" in " ".join(shown.stdout.split())
    (run,) = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["runs"]
    assert (run["benchmark"], run["limit"], run["state"]) == ("mini-mtil", 2, "new")
    assert not (tmp_path / "runs").exists()
