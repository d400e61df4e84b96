"""The wheel holds every data file, no test, and works from a folder that is not the checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("suite", "trainables", "baselines", "search_spaces")


def tracked_files() -> list[str]:
    """Paths that git tracks and the working tree still has; a skip outside a git checkout."""
    call = ["git", "ls-files", "-z", "--cached"]
    try:
        listed = subprocess.run(call, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files belong to the packages is unknown")
    return [name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]


def of_packages(names: list[str]) -> set[str]:
    return {name for name in names if name.partition("/")[0] in PACKAGES}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the tracked files alone, so that neither old builds nor stray files can get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / "source" / name)
    call = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*call, "--wheel-dir", str(folder), "./source"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


def test_every_folder_with_modules_is_a_listed_package() -> None:
    """Fast guard: the package list is explicit, so a new folder must be added to it."""
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    folders = {Path(name).parent for name in of_packages(tracked_files()) if name.endswith(".py")}
    assert {".".join(folder.parts) for folder in folders} == listed


def test_the_wheel_holds_exactly_the_packages_files(wheel: Path) -> None:
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = of_packages(tracked_files())
    assert {name for name in expected if not name.endswith(".py")}, "the packages have data files"
    assert held == expected


def test_the_wheel_carries_command_and_licence(wheel: Path) -> None:
    archive = ZipFile(wheel)
    information = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    scripts = configparser.ConfigParser()
    scripts.read_string(archive.read(information["entry_points.txt"]).decode())
    assert dict(scripts["console_scripts"]) == {"codyra-suite": "suite.cli.main:main"}
    assert archive.read(information["licenses/LICENSE"]) == (REPOSITORY / "LICENSE").read_bytes()


@pytest.mark.slow
def test_an_unpacked_wheel_learns_a_stream(wheel: Path, tmp_path: Path) -> None:
    """From another folder, with the wheel's files before the checkout's: shipped weights and tables are found."""
    ZipFile(wheel).extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert Path(call("-c", "import suite; print(suite.__file__)").strip()).is_relative_to(tmp_path)
    fields = ("benchmark.domains=[shapes,digits]", "benchmark.shots=4", "training.steps=2", "training.batch_size=4")
    settings = [part for field in fields for part in ("--set", field)]
    call("-m", "suite.cli.main", "run", "mini-mtil", "--method", "lora", *settings, "--tracking", "none", "--device", "cpu")
    assert len(list((tmp_path / "codyra-runs" / "runs").glob("*/record.json"))) == 1
