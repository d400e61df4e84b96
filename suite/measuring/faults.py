"""What ``dev perf faults`` does: kill driver, workers and nodes of a sweep at random moments and count what was harmed.

A real cluster of separate Ray node processes on loopback, a real sweep command, real SIGKILLs. Afterwards everything is read
back from Optuna, MLflow and the records, and compared with an undisturbed sweep of the same file.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from suite.errors import SuiteError
from suite.measuring.ray_nodes import RayNodes
from suite.runs.record import RECORD, Record
from suite.runs.store import RunStore

SWEEP: dict[str, Any] = {
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]},
        "method": {"name": "codyra", "kappa_levels": 10},
        "training": {"steps": 40},
    },
    "space": "codyra-quick",
    "objectives": ["zscl.last", "codyra.forgetting"],
    "sampler": "random",
    "budget": {"trials": 6},
}
KINDS = ("driver", "worker", "node")
PATIENCE_SECONDS = 300


@dataclass
class Harm:
    """Counts over all rounds; everything but ``kills`` should be zero."""

    kills: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    orphans: int = 0
    lost: int = 0
    different: int = 0

    @property
    def none(self) -> bool:
        return not (self.duplicates or self.orphans or self.lost or self.different)


def inject_faults(kills: int, seed: int, say: Callable[[str], None]) -> Harm:
    """Rounds of disturbed sweeps until ``kills`` processes were killed, each checked against its undisturbed twin.

    Raises:
        SuiteError: a sweep does not end although it is started again and again.
    """
    moments = random.Random(seed)
    harm = Harm()
    turn = 0
    with (
        tempfile.TemporaryDirectory(prefix="codyra-faults-") as scratch,
        RayNodes(Path(scratch), ["--num-cpus", "1"]) as cluster,
    ):
        cluster.join(1)  # the one that is killed
        while harm.kills.total() < kills:
            folder = Path(scratch) / f"round{turn}"
            folder.mkdir()
            file = folder / "sweep.yaml"
            file.write_text(yaml.safe_dump({"name": "faults", **SWEEP, "sampler_seed": turn}))
            _disturbed(file, cluster, kills, moments, harm, say)
            _count(folder, _undisturbed(file, cluster), harm)
            turn += 1
            say(f"round {turn}: {harm.kills.total()} kills, {harm}")
    return harm


def _disturbed(
    file: Path, cluster: RayNodes, kills: int, moments: random.Random, harm: Harm, say: Callable[[str], None]
) -> None:
    finished: dict[str, int] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    driver = _sweep(file, cluster.address, "out", "mlflow.db", resume=False)
    while True:
        if _ended_alone(driver, moments.uniform(2.0, 9.0)):
            if driver.returncode == 0:
                break
            driver = _sweep(file, cluster.address, "out", "mlflow.db", resume=_begun(file.parent))
        if time.monotonic() > deadline:
            raise SuiteError(f"faults: the sweep in {file.parent} did not end within {PATIENCE_SECONDS} s of its last start.")
        if harm.kills.total() < kills:
            finished |= {name: stamp for name, stamp in _finished(file.parent).items() if name not in finished}
            kind = moments.choice(KINDS)
            if _kill(kind, driver, cluster, moments):
                harm.kills[kind] += 1
                deadline = time.monotonic() + PATIENCE_SECONDS
                say(f"killed: {kind}")
    after = _finished(file.parent)
    harm.lost += sum(after.get(name) != stamp for name, stamp in finished.items())


def _kill(kind: str, driver: subprocess.Popen[bytes], cluster: RayNodes, moments: random.Random) -> bool:
    """SIGKILL one process of the kind; False when there is none at the moment."""
    if kind == "driver":
        driver.kill()
        driver.wait()
        return True
    if kind == "node":
        cluster.nodes.pop().kill()
        cluster.join(1)
        return True
    workers = cluster.trials()
    if not workers:
        return False
    with suppress(psutil.NoSuchProcess):
        moments.choice(workers).kill()
        return True
    return False


def _count(folder: Path, reference: dict[str, Any], harm: Harm) -> None:
    """Compare what is left of a disturbed sweep with the undisturbed one."""
    import optuna

    from suite.tracking.mlflow_reader import read_runs

    storage = f"sqlite:///{folder / 'out' / 'studies' / 'faults' / 'optuna.db'}"
    trials = optuna.load_study(study_name="faults", storage=storage).get_trials(deepcopy=False)
    contents = Counter(trial.user_attrs.get("content") for trial in trials if "duplicate_of" not in trial.user_attrs)
    harm.duplicates += sum(count - 1 for count in contents.values())
    harm.orphans += sum(not trial.state.is_finished() for trial in trials)
    logged = Counter(run.record.run_id for run in read_runs(f"sqlite:///{folder / 'mlflow.db'}"))
    harm.duplicates += sum(count - 1 for count in logged.values())
    records = _records(folder)
    harm.orphans += sum(record.status == "running" for record in records.values())
    harm.lost += len(reference.keys() - logged.keys())
    numbers = {name: _numbers(record) for name, record in records.items()}
    harm.different += sum(numbers.get(name) != found for name, found in reference.items()) + len(
        numbers.keys() - reference.keys()
    )


def _undisturbed(file: Path, cluster: RayNodes) -> dict[str, Any]:
    process = _sweep(file, cluster.address, "calm", "calm.db", resume=False)
    if process.wait(timeout=PATIENCE_SECONDS):
        raise SuiteError(f"faults: the undisturbed sweep of {file} failed with code {process.returncode}.")
    return {name: _numbers(record) for name, record in _records(file.parent, "calm").items()}


def _numbers(record: Record) -> Any:
    """Everything of a record that does not depend on when it was made."""
    return json.loads(json.dumps([record.status, record.validation, record.test, [r.effective_rank for r in record.results]]))


def _records(folder: Path, out: str = "out") -> dict[str, Record]:
    return {run.record.run_id: run.record for run in RunStore(folder / out).all().runs}


def _finished(folder: Path) -> dict[str, int]:
    """Finished runs and when their record was written."""
    finished = [run for run in RunStore(folder / "out").all().runs if run.record.status == "finished"]
    return {run.record.run_id: (run.folder / RECORD).stat().st_mtime_ns for run in finished}


def _begun(folder: Path) -> bool:
    return (folder / "out" / "studies" / "faults" / "sweep.yaml").is_file()


def _ended_alone(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _sweep(file: Path, address: str, out: str, database: str, *, resume: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "suite.cli.main", "sweep", file.name, "--address", address, "--out", out]
    command += ["--tracking", f"sqlite:///{file.parent / database}", *(["--resume"] if resume else [])]
    with (file.parent / "drivers.log").open("ab") as log:
        return subprocess.Popen(command, cwd=file.parent, stdout=log, stderr=log, start_new_session=True)
