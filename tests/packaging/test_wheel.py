"""sdist and wheel: every data file, no test, the extras; installed in a fresh environment the wheel works without the checkout."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
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
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist built from the tracked files alone, so that neither old builds nor stray files can get into it."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in tracked_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / "source" / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:setuptools", "-c", build, str(folder)],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "warning" not in done.stderr.lower(), done.stderr[-2000:]
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    call = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*call, "--wheel-dir", str(folder), str(sdist)], cwd=folder, capture_output=True, text=True, check=False
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


def test_the_extras_are_those_of_the_page_on_installation(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    extras = set(re.findall(r"^Provides-Extra: (.+)$", archive.read(name).decode(), flags=re.MULTILINE))
    page = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    assert extras == set(re.findall(r"^\| `([a-z]+)` \|", page, flags=re.MULTILINE))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_wheel_learns_a_stream(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment that has the dependencies but not the checkout, with the command that it installs; offline.

    pip finds every declared requirement, also those of the extra, already there: what is declared fits together.
    """
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> str:
        done = subprocess.run(arguments, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python = str(environment / "bin" / "python")
    call(python, "-m", "pip", "install", "--quiet", "--no-index", "--ignore-installed", "--no-deps", str(wheel))
    call(python, "-m", "pip", "install", "--quiet", "--no-index", f"{wheel}[gguf,tensorboard]")
    place = call(python, "-c", "import suite, search_spaces; print(suite.__file__, search_spaces.__file__)").split()
    assert all(Path(name).is_relative_to(site) for name in place)
    fields = ("benchmark.domains=[shapes,digits]", "benchmark.shots=4", "training.steps=2", "training.batch_size=4")
    settings = [part for field in fields for part in ("--set", field)]
    command = str(environment / "bin" / "codyra-suite")
    call(command, "run", "mini-mtil", "--method", "lora", *settings, "--tracking", "none", "--device", "cpu")
    assert len(list((tmp_path / "codyra-runs" / "runs").glob("*/record.json"))) == 1
