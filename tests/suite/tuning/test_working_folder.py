"""What travels with a job: small, complete, and nothing that only lies beside the code."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from suite.errors import ConfigError
from suite.runs.provenance import commit_and_dirty
from suite.tracking.trackers import tracker_entry
from suite.tuning.outside_packages import outside_entries, outside_files
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_config import TuneConfig
from suite.tuning.working_folder import LOCK, PACKAGES, build_working_folder, package_files, runtime_environment

BIG = b"x" * 2**20


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Packages with everything around and among them that must stay at home."""
    root = tmp_path / "checkout"
    for name in [
        *(f"{package}/__init__.py" for package in PACKAGES),
        "suite/facts/table.json",
        "suite/weights/net.safetensors",
    ]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    strays = [".venv/lib/torch.so", ".git/objects/pack", "codyra-runs/runs/a/checkpoint", "data/images.tar", "mlflow.db"]
    strays += [
        "suite/__pycache__/config.cpython-311.pyc",
        "suite/.cache/big",
        "suite/codyra-runs/checkpoint",
        "trainables/old.pyc",
    ]
    for name in strays:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(BIG)
    (root / "suite" / "linked").symlink_to(root / "data", target_is_directory=True)
    return root


def test_only_the_packages_travel(checkout: Path, tmp_path: Path) -> None:
    sweep, folder = tmp_path / "night.yaml", tmp_path / "job"
    sweep.write_text("space: lora\n")
    size = build_working_folder(folder, ("night.yaml", sweep), root=checkout)
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    packages = {f"{package}/__init__.py" for package in PACKAGES}
    assert copied == packages | {"suite/facts/table.json", "suite/weights/net.safetensors", "night.yaml", "commit.json"}
    assert size < 100


def test_a_large_file_among_the_packages_is_refused_by_name(checkout: Path, tmp_path: Path) -> None:
    (checkout / "suite" / "dump.bin").write_bytes(BIG)
    sweep = tmp_path / "night.yaml"
    sweep.write_text("space: lora\n")
    with pytest.raises(ConfigError, match=r"would hold 1\.0 MiB, more than 1; largest: suite/dump\.bin \(1\.0 MiB\)"):
        build_working_folder(tmp_path / "job", ("night.yaml", sweep), root=checkout, most_bytes=2**20)
    assert not (tmp_path / "job").exists()


def test_the_real_folder_is_small_and_works_alone(repository: Path, tmp_path: Path) -> None:
    """Every tracked file of the packages is there, and the command line starts from the copy."""
    sweep, folder = tmp_path / "night.yaml", tmp_path / "job"
    sweep.write_text("space: lora\n")
    assert build_working_folder(folder, ("night.yaml", sweep)) < 16 * 2**20
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=repository, capture_output=True, text=True, check=False
    ).stdout
    there = {name for name in listed.split("\0") if name and (repository / name).is_file()}
    assert there <= package_files().keys()
    script = "import suite, suite.cli.entry; from suite.runs.identity import *; from suite.runs.provenance import *; print(suite.__file__, code_version(), *commit_and_dirty())"
    call = [sys.executable, "-c", script]
    done = subprocess.run(
        call, cwd=folder, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=True, timeout=250
    )
    here = subprocess.run(call, cwd=repository, capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout.split()[0].startswith(str(folder))
    assert done.stdout.split()[1:] == here.stdout.split()[1:]


def test_outside_packages_of_a_sweep_travel_and_are_found_there(
    repository: Path, tmp_path: Path, installed: Callable[[dict[str, str]], Path]
) -> None:
    """With their data files and the entries that name them; other packages stay at home."""
    plugin = repository / "examples" / "plugin"
    files = {f"damped_lora/{path.name}": path.read_text() for path in (plugin / "damped_lora").glob("*.py")}
    files["damped_lora/facts.json"] = "{}"
    entries = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [line for group, rows in entries.items() for line in [f"[{group}]", *(f"{k} = {v}" for k, v in rows.items())]]
    files["damped_lora-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: damped-lora\nVersion: 1.0\n"
    files["damped_lora-1.0.dist-info/entry_points.txt"] = "\n".join(lines)
    installed({**files, "besides/__init__.py": ""})
    study = StudyConfig.model_validate({"name": "s", "run": {"benchmark": "bars-and-corners"}, "space": "damped-lora"})
    travelling = outside_files(outside_entries(study))
    sweep, folder = tmp_path / "night.yaml", tmp_path / "job"
    sweep.write_text("space: damped-lora\n")
    build_working_folder(folder, ("night.yaml", sweep), travelling)
    assert {name for name in travelling if ".dist-info/" not in name} == {name for name in files if ".dist-info/" not in name}
    script = (
        "from suite.registry import METHODS; print(METHODS['damped-lora'].__module__, METHODS.entries['damped-lora'].owner)"
    )
    call = [sys.executable, "-c", script]
    done = subprocess.run(
        call, cwd=folder, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=True, timeout=250
    )
    assert done.stdout.split("\n")[0] == "damped_lora.method package 'damped-lora 1.0'"
    plain = StudyConfig.model_validate({"name": "s", "run": {"benchmark": "mini-mtil"}, "space": "lora"})
    assert outside_entries(plain) == []
    fields = {"name": "t", "benchmarks": ["bars-and-corners"], "methods": ["lora", "damped-lora"], "budget": {"trials": 1}}
    assert set(outside_entries(TuneConfig.model_validate(fields))) == set(outside_entries(study))


def test_outside_objectives_text_scores_and_trackers_travel_too(installed: Callable[[dict[str, str]], Path]) -> None:
    names = (
        "[codyra_suite.metrics]\nacme.first = outsider.all:FIRST\n[codyra_suite.text_scores]\nending = outsider.all:ENDING\n"
    )
    text = (
        "from suite.benchmarks.text_scores import TextScore\nfrom suite.metrics.conventions import Metric\n"
        "FIRST = Metric('acme.first', lambda matrix: 7.0, True, 'nowhere', 'seven')\nENDING = TextScore(lambda *_: 1.0)\n"
    )
    installed(
        {
            "outsider/__init__.py": "",
            "outsider/all.py": text,
            "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
            "outsider-1.0.dist-info/entry_points.txt": f"{names}[codyra_suite.trackers]\nacme = outsider.all:TRACKER\n",
        }
    )
    study = StudyConfig.model_validate(
        {
            "name": "s",
            "run": {"benchmark": {"name": "text-folders", "metrics": {"sums": "ending", "words": "accuracy"}}},
            "space": "lora",
            "objectives": ["trace.op", "acme.first"],
        }
    )
    assert {entry.target for entry in outside_entries(study)} == {"outsider.all:FIRST", "outsider.all:ENDING"}
    tracker = tracker_entry("acme:place")
    assert tracker is not None
    assert tracker.package == ("outsider", "1.0")
    assert {"outsider/all.py", "outsider-1.0.dist-info/entry_points.txt"} <= outside_files([tracker]).keys()
    assert tracker_entry("nobody:place") is None


def test_a_copy_states_the_commit_it_was_taken_from(tmp_path: Path) -> None:
    assert commit_and_dirty(tmp_path) == (None, None)
    (tmp_path / "commit.json").write_text('{"commit": "abc", "dirty": true}')
    assert commit_and_dirty(tmp_path) == ("abc", True)


def test_the_environment_pins_the_lock_but_not_ray(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "runtime_env.yaml"
    runtime_environment(path, {"COLUMNS": "140"}, pinned=True)
    fields = yaml.safe_load(path.read_text())
    pinned = {
        line.split()[0]
        for line in (repository / LOCK).read_text().splitlines()
        if "==" in line and not line.startswith("ray==")
    }
    assert {line.split()[0] for line in fields["pip"]} == pinned
    assert fields["env_vars"] == {"COLUMNS": "140"} and fields["config"]["setup_timeout_seconds"] >= 1800
    runtime_environment(path, {}, pinned=False)
    assert "pip" not in yaml.safe_load(path.read_text())


def test_without_a_lock_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"requirements\.lock: no such file.*--no-env"):
        runtime_environment(tmp_path / "runtime_env.yaml", {}, pinned=True, root=tmp_path)
