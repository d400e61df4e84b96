"""The example of an outside package: its page shows its files, and installed beside the suite it passes its own tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = REPOSITORY / "examples" / "plugin"


def test_its_page_shows_its_files_word_for_word() -> None:
    page = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL))
    files = {path.relative_to(PLUGIN).as_posix(): path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*.py")}
    files["pyproject.toml"] = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    del files["damped_lora/__init__.py"]
    assert shown == {name: text for name, text in files.items() if "build/" not in name}


@pytest.mark.slow
def test_installed_it_passes_its_own_tests_and_is_found_by_commands(tmp_path: Path) -> None:
    """Offline, into a folder of its own, from a copy: a build leaves files beside what it builds."""
    site, copy = tmp_path / "site", tmp_path / "plugin"
    shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{REPOSITORY}", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=250)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    call("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), ".")
    call("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "damped-lora" in call("suite.cli.main", "list", "spaces")
    fields = ("benchmark.shots=2", "training.steps=2", "training.batch_size=4")
    settings = [part for field in fields for part in ("--set", field)]
    call(
        "suite.cli.main",
        "run",
        "bars-and-corners",
        "--method",
        "damped-lora",
        *settings,
        "--tracking",
        "none",
        "--device",
        "cpu",
    )
    record = next((copy / "codyra-runs" / "runs").glob("*/record.json")).read_text(encoding="utf-8")
    assert '"damped-lora": "1.0"' in record
    script = [sys.executable, str(REPOSITORY / "examples" / "own_method.py")]
    shown = subprocess.run(
        script, cwd=copy, env={**environment, "MPLBACKEND": "agg"}, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert shown.stdout.count("% after the last task") == 3 and (copy / "damped_lora.png").stat().st_size > 10_000
