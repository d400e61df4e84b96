"""The deployment files: Ray's own schema, KubeRay's fields, shellcheck, a run of each script with the transport replaced."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pathspec
import pytest
import typer
import yaml

from suite import __version__
from suite.cli.entry import command_arguments
from suite.cli.main import app
from suite.runs.record import read_record
from suite.tuning.working_folder import package_files

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# What only the user knows: file -> words on the lines that must say SET.
TO_SET = {
    "cluster.yaml": {"head_ip", "worker_ips", "ssh_user", "ssh_private_key"},
    "rayjob.yaml": {
        *(
            "name",
            "activeDeadlineSeconds",
            "image",
            "claimName",
            "maxReplicas",
            "nodeSelector",
            "tolerations",
            "limits",
            "requests",
        ),
    },
    "slurm.sh": {"nodes", "gpus-per-node", "time", "partition", "home"},
}
SWEEP = {
    "name": "night",
    "run": {
        "benchmark": {"name": "mini-mtil", "domains": ["shapes", "digits"], "shots": 4},
        "method": {"name": "lora"},
        "training": {"steps": 2, "batch_size": 8},
    },
    "space": "lora",
    "sampler": "random",
    "budget": {"trials": 2},
    "concurrency": 1,
}


def lines_to_set(name: str) -> list[str]:
    """The line of each SET mark: the mark's own, or the next one when it stands alone."""
    lines = (DEPLOY / name).read_text().splitlines()
    marked = [number for number, line in enumerate(lines) if "# SET:" in line]
    return [lines[number + 1] if lines[number].lstrip().startswith("#") else lines[number] for number in marked]


@pytest.mark.parametrize("name", sorted(TO_SET))
def test_what_only_the_user_knows_is_marked(name: str) -> None:
    marked = lines_to_set(name)
    named = [re.match(r"(?:#SBATCH --|##SBATCH --|[ -]*)([\w-]+)", line) for line in marked]
    assert {match[1] for match in named if match} == TO_SET[name]
    example = re.compile(r"192\.0\.2\.|registry\.example|(maxReplicas|gke-spot|claimName|limits|requests|ssh_\w+): ")
    assert not [line for line in (DEPLOY / name).read_text().splitlines() if example.search(line) and line not in marked]


# --- ray up, ray submit


def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    return loaded


def test_ray_accepts_the_cluster_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.chdir(repository)
    prepared = prepare_config(cluster())
    validate_config(prepared)
    assert prepared["max_workers"] == len(cluster()["provider"]["worker_ips"])
    with pytest.raises(ValidationError):
        validate_config(prepare_config({**cluster(), "worker_count": 2}))


def test_the_checkout_travels_without_its_big_folders(repository: Path) -> None:
    patterns = cluster()["rsync_exclude"]
    excluded = pathspec.PathSpec.from_lines("gitignore", patterns)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    assert not [name for name in listed if excluded.match_file(name)]
    ignored = [line for line in (repository / ".gitignore").read_text().splitlines() if line]
    strays = [
        f"{line.strip('/').replace('*', 'x')}/x" if line.endswith("/") else line.strip("/").replace("*", "x")
        for line in ignored
    ]
    assert not [name for name in [*strays, ".git/objects/x"] if not excluded.match_file(name)]


def test_the_dashboard_of_the_cluster_stays_on_loopback() -> None:
    (start,) = (line for line in cluster()["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in shlex.split(start)


def write_command(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def remote_home(tmp_path: Path) -> Path:
    """The home folder of a machine that ``ray up`` has set up."""
    home = tmp_path / "remote"
    (home / "codyra-suite").mkdir(parents=True)
    (home / "codyra-suite" / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (home / "night.yaml").write_text(yaml.safe_dump(SWEEP))
    return home


@pytest.mark.slow
def test_ray_submit_runs_the_entry_script_on_the_head(repository: Path, remote_home: Path, tmp_path: Path) -> None:
    """The real ``ray submit`` and the real script; only ssh and rsync are replaced, by the same machine in another home."""
    bin_folder, head = tmp_path / "bin", "127.0.0.1"
    bin_folder.mkdir()
    write_command(
        bin_folder / "ssh",
        f'while [[ "$1" != *@* ]]; do shift; done; shift; cd {remote_home}; HOME={remote_home} exec bash -c "$*"',
    )
    (remote_home / ".bashrc").write_text(f"export PATH={bin_folder}:$PATH\n")  # Ray asks for a login shell
    write_command(
        bin_folder / "rsync", f'arguments=("$@"); target="${{@: -1}}"; cp "${{arguments[-2]}}" "{remote_home}/${{target##*/}}"'
    )
    write_command(bin_folder / "python", f'exec {sys.executable} "$@"')
    file, state = tmp_path / "cluster.yaml", tmp_path / "ray" / "cluster-codyra-suite.state"
    file.write_text(
        yaml.safe_dump({**cluster(), "provider": {"type": "local", "head_ip": head, "worker_ips": []}, "file_mounts": {}})
    )
    tags = {
        "ray-node-type": "head",
        "ray-node-status": "up-to-date",
        "ray-node-name": "head",
        "ray-user-node-type": "local.cluster.node",
    }
    state.parent.mkdir()
    state.write_text(json.dumps({head: {"tags": tags, "state": "running"}}))
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(repository)}
    environment |= {"RAY_TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    call = [str(Path(sys.executable).parent / "ray"), "submit", "--no-config-cache", str(file), str(DEPLOY / "entry.py")]
    done = subprocess.run(
        [*call, "--", "night.yaml", "--resume"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert f"study 'night': nothing to resume below {remote_home}/codyra-runs/studies" in done.stdout + done.stderr
    assert done.returncode != 0


def test_a_head_without_the_suite_says_what_to_run(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, DEPLOY / "entry.py", "x.yaml"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "run 'ray up deploy/cluster.yaml' first" in done.stderr


# --- KubeRay

# Fields of a RayJob, from KubeRay's Go types (ray-operator/apis/ray/v1/rayjob_types.go and raycluster_types.go at v1.4) and of
# a pod as far as one is used here. A type, a mapping of fields, or a list of one of them; '!' marks what is required.
POD: dict[str, Any] = {
    "spec!": {
        "containers!": [
            {
                "name!": str,
                "image!": str,
                "resources": {"limits": dict, "requests": dict},
                "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool, "subPath": str}],
                "env": [{"name!": str, "value": str}],
            }
        ],
        "volumes": [
            {
                "name!": str,
                "persistentVolumeClaim": {"claimName!": str, "readOnly": bool},
                "configMap": {"name!": str},
                "emptyDir": {"medium": str, "sizeLimit": str},
            }
        ],
        "nodeSelector": dict,
        "tolerations": list,
    }
}
RAYJOB: dict[str, Any] = {
    "apiVersion!": str,
    "kind!": str,
    "metadata!": {"name!": str, "namespace": str, "labels": dict},
    "spec!": {
        "entrypoint": str,
        "runtimeEnvYAML": str,
        "jobId": str,
        "metadata": dict,
        "submissionMode": str,
        "submitterConfig": {"backoffLimit": int},
        "submitterPodTemplate": POD,
        "entrypointNumCpus": float,
        "entrypointNumGpus": float,
        "entrypointResources": str,
        "activeDeadlineSeconds": int,
        "backoffLimit": int,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "suspend": bool,
        "managedBy": str,
        "clusterSelector": dict,
        "rayClusterSpec": {
            "rayVersion": str,
            "enableInTreeAutoscaling": bool,
            "autoscalerOptions": dict,
            "headGroupSpec!": {"serviceType": str, "enableIngress": bool, "rayStartParams!": dict, "template!": POD},
            "workerGroupSpecs": [
                {
                    "groupName!": str,
                    "replicas": int,
                    "minReplicas!": int,
                    "maxReplicas!": int,
                    "numOfHosts": int,
                    "rayStartParams!": dict,
                    "template!": POD,
                }
            ],
        },
    },
}


def problems(value: Any, shape: Any, place: str = "") -> list[str]:
    """One line per unknown, missing or wrongly typed field of ``value``."""
    if isinstance(shape, type):
        return (
            []
            if isinstance(value, shape) and (shape is not int or not isinstance(value, bool))
            else [f"{place}: no {shape.__name__}"]
        )
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        return [line for index, item in enumerate(value) for line in problems(item, shape[0], f"{place}[{index}]")]
    if not isinstance(value, dict):
        return [f"{place}: no mapping"]
    known = {key.rstrip("!"): inner for key, inner in shape.items()}
    missing = [f"{place}.{key[:-1]}: missing" for key in shape if key.endswith("!") and key[:-1] not in value]
    unknown = [f"{place}.{key}: unknown" for key in value if key not in known]
    inside = [line for key in value if key in known for line in problems(value[key], known[key], f"{place}.{key}")]
    return missing + unknown + inside


def rayjob() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    return loaded


def pods() -> list[dict[str, Any]]:
    spec = rayjob()["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def test_the_rayjob_has_kuberays_fields() -> None:
    job = rayjob()
    assert problems(job, RAYJOB) == []
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?", job["metadata"]["name"])
    assert job["spec"]["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
    assert job["spec"]["shutdownAfterJobFinishes"] or not job["spec"]["ttlSecondsAfterFinished"]
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    assert all(isinstance(value, str) for group in groups for value in group["rayStartParams"].values())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec", "entryPoint"), "x", ".spec.entryPoint: unknown"),
        (("spec", "backoffLimit"), "3", ".spec.backoffLimit: no int"),
        (
            ("spec", "rayClusterSpec", "headGroupSpec"),
            {"rayStartParams": {}},
            ".spec.rayClusterSpec.headGroupSpec.template: missing",
        ),
    ],
)
def test_the_check_sees_wrong_fields(path: tuple[str, ...], value: Any, message: str) -> None:
    job = rayjob()
    inner = job
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert problems(job, RAYJOB) == [message]


def test_the_pods_fit_together(repository: Path) -> None:
    for pod in pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert container["image"].endswith(f":{__version__}")
    lock = (repository / "requirements.lock").read_text()
    assert f"ray=={rayjob()['spec']['rayClusterSpec']['rayVersion']}\n" in lock
    workers = rayjob()["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert all(group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"] for group in workers)
    assert rayjob()["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"]  # nobody else would start the first machine


def test_the_rayjobs_entrypoint_is_a_sweep_into_the_shared_volume(tmp_path: Path) -> None:
    python, module, script, *rest = shlex.split(rayjob()["spec"]["entrypoint"])
    assert (python, module, script) == ("python", "-m", "suite.cli.entry")
    places = [mount["mountPath"] for mount in pods()[0]["containers"][0]["volumeMounts"]]
    assert rest[0].startswith(f"{places[1]}/")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    arguments = command_arguments([str(tmp_path / "sweep.yaml"), *rest[1:]], tmp_path)
    assert all(arguments[arguments.index(option) + 1].startswith(f"{places[0]}/") for option in ("--out", "--data-root"))
    command = typer.main.get_command(app)
    context = command.make_context("codyra-suite", list(arguments))
    _, sweep, given = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    sweep.make_context("sweep", given, parent=context)


def test_the_image_holds_the_packages_and_nothing_beside_them(repository: Path) -> None:
    """In .dockerignore the last matching line decides, as in .gitignore; what is kept out is ignored."""
    ignored = pathspec.PathSpec.from_lines("gitignore", (repository / ".dockerignore").read_text().splitlines())
    strays = [
        ".venv/lib/torch.so",
        ".git/HEAD",
        "codyra-runs/runs/a/record.json",
        "data/x",
        "mlflow.db",
        "suite/__pycache__/x.pyc",
    ]
    assert not [name for name in strays if not ignored.match_file(name)]
    needed = {name for name in package_files() if name.endswith((".py", ".json", ".safetensors"))}
    assert not [
        name for name in [*needed, "pyproject.toml", "requirements.lock", "README.md", "LICENSE"] if ignored.match_file(name)
    ]
    assert f"FROM rayproject/ray:{version('ray')}-" in (DEPLOY / "Dockerfile").read_text()


# --- Slurm


def test_the_slurm_script_is_sound() -> None:
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first_command:] if line.startswith("#SBATCH")], (
        "sbatch reads options before the first command only"
    )
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([checker, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def free_port() -> int:
    """A port of the range that slurm.sh takes from the job's number, free together with the one it derives from it."""
    for port in range(20000 + os.getpid() % 10000, 40000):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 20000)):
                return port
        except OSError:
            continue
    raise AssertionError("no free port")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("cancelled", [signal.SIGTERM, None])
def test_ray_outlives_the_sweep_that_scancel_ends(tmp_path: Path, cancelled: signal.Signals | None) -> None:
    """Slurm sends SIGTERM to the script and to the first process of every step at once. Ray and the sweep are scripts here."""
    log, bin_folder, home = tmp_path / "log", tmp_path / "bin", tmp_path / "home"
    for folder in (bin_folder, home / ".venv" / "bin"):
        folder.mkdir(parents=True)
    write_command(bin_folder / "scontrol", "echo localhost; echo localhost")
    write_command(bin_folder / "srun", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    write_command(
        home / ".venv" / "bin" / "ray",
        f"trap 'echo ray ended >> {log}; exit' TERM; echo ray began >> {log}; while :; do sleep 0.1; done",
    )
    write_command(
        home / ".venv" / "bin" / "python",
        f"""if [ "$1" = - ]; then until [ "$(grep -c began {log})" = 2 ]; do sleep 0.1; done; exit 0; fi
trap 'sleep 1; echo sweep stored >> {log}; exit 130' INT; echo sweep began >> {log}
for _ in {{1..{3000 if cancelled else 5}}}; do sleep 0.1; done; echo sweep finished >> {log}""",
    )
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "CODYRA_HOME": str(home)}
    environment |= {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_SUBMIT_DIR": str(home),
    }
    log.touch()
    script = subprocess.Popen(["bash", DEPLOY / "slurm.sh", "night.yaml"], env=environment, start_new_session=True)
    try:
        while "sweep began" not in log.read_text():
            assert script.poll() is None, log.read_text()
            time.sleep(0.05)
        if cancelled:
            steps = [pid for pid in children(script.pid) if "ray-node" in Path(f"/proc/{pid}/cmdline").read_text()]
            assert len(steps) == 2
            for pid in (*steps, script.pid):
                os.kill(pid, cancelled)
        assert script.wait(timeout=250) == (130 if cancelled else 0)
    finally:
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)
    ended = "stored" if cancelled else "finished"
    assert log.read_text().splitlines()[2:] == ["sweep began", f"sweep {ended}", "ray ended", "ray ended"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_slurm_script_sweeps_on_two_nodes(repository: Path, remote_home: Path, tmp_path: Path) -> None:
    """The real script with two real Ray nodes; only Slurm's own commands are replaced."""
    bin_folder, job = tmp_path / "bin", free_port() - 20000
    bin_folder.mkdir()
    write_command(bin_folder / "scontrol", "echo localhost; echo localhost")
    write_command(bin_folder / "srun", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH")}
    environment |= {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(repository),
        "HOME": str(remote_home),
    }
    environment |= {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    environment |= {"SLURM_SUBMIT_DIR": str(remote_home), "OMP_NUM_THREADS": "1"}
    log = tmp_path / "log"
    with log.open("wb") as sink:
        script = subprocess.Popen(
            ["bash", DEPLOY / "slurm.sh", "night.yaml", "--tracking", "none"],
            env=environment,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        code = script.wait(timeout=600)
    finally:
        script.terminate()  # its trap ends the Ray nodes
        script.wait(timeout=250)
        shutil.rmtree(f"/tmp/ray-{job}", ignore_errors=True)
    assert code == 0, log.read_text()
    assert "2 nodes, " in log.read_text() and "2 finished" in log.read_text()
    records = [read_record(path) for path in (remote_home / "codyra-runs" / "runs").glob("*/record.json")]
    assert [record.status for record in records] == ["finished"] * 2
    with socket.create_server(("127.0.0.1", 20000 + job)):
        """The port is free: no Ray is left."""
