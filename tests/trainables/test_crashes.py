"""Why a run broke: a bug is told at once in its own words, only lost workers are given out again, too little memory is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.crashes import Crash, last_lines, read_crash
from trainables.train import WorkersLost, own_mistake

HEAD = "Failure # 1 (occurred at 2026-11-29_07-15-14)\n"
FRAMES = (
    "\x1b[36mray::StreamTrainable.train()\x1b[39m (pid=1573, ip=10.0.0.2, actor_id=e2c07f)\n"
    "           ^^^^^^^^^^^^^^^^\n"
    '  File "/x/ray/tune/trainable/trainable.py", line 326, in train\n'
    "    result = self.step()\n"
    "             ^^^^^^^^^^^\n"
    '  File "/x/baselines/mine.py", line 16, in loss\n'
    "    return factor * loss\n"
    "           ^^^^^^\n"
)
DIED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: StreamTrainable\n\tpid: 2769\n"
    "The actor is dead because its worker process has died. Some common causes include: (1) the process was killed by the OOM killer due "
    "to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV.\n"
)
MONITOR = [
    "Ray killed 1 worker(s) based on the killing policy\nConsidered workers: [\nRefer to the documentation on the out of memory issue.\n",
    "2 worker(s) were killed due to the node running low on memory. Memory on the node was 22.54GB used / 23.54GB limit\n"
    "Top 10 memory users:\n2765\t0.63\tray::StreamTrainable.train\n",
]


@pytest.mark.parametrize(
    ("text", "crash"),
    [
        (FRAMES + "NameError: name 'factor'\nis not defined\n", Crash("NameError: name 'factor' is not defined (/x/baselines/mine.py:16, in loss)", True, True)),
        ("The actor died because of an error raised in its creation task, " + FRAMES + "ImportError: no\n", Crash("ImportError: no (/x/baselines/mine.py:16, in loss)", True, True)),
        (FRAMES + "ray.exceptions.ActorDiedError: The actor died.\n", Crash("a worker was lost", False, True)),
        (FRAMES + "trainables.train.WorkersLost: gone\n", Crash("a worker was lost", False, True)),
        (FRAMES + "RuntimeError: could not create a primitive\n", Crash("RuntimeError: could not create a primitive (/x/baselines/mine.py:16, in loss)", False, True)),
        (DIED, Crash("the worker died", False, True)),
        (DIED + "The actor never ran - it was cancelled before it started running.\n", Crash("the worker died before it could start", False, False)),
        ("", Crash("the worker died before it could start", False, False)),
    ],
    ids=["bug", "bug while it starts", "another actor went", "a partner went", "no memory for a kernel", "killed", "killed at its start", "nothing known"],
)  # fmt: skip
def test_what_a_text_of_ray_means(text: str, crash: Crash) -> None:
    assert read_crash(HEAD + "older\n" + HEAD + text) == crash
    assert crash.is_memory == ("primitive" in text)


def test_a_partner_that_went_is_no_bug_although_the_others_have_a_traceback() -> None:
    gone = 'Worker 1 died.\n  File "/x/torch/distributed/c10d.py", line 3913, in all_reduce\nRuntimeError: Connection reset by peer\n'
    with pytest.raises(WorkersLost) as lost:
        own_mistake(RuntimeError(gone))
    text = f"{HEAD}{FRAMES}trainables.train.WorkersLost: {lost.value}\n"
    assert read_crash(text) == Crash("a worker was lost", False, True)


@pytest.mark.parametrize("text", MONITOR, ids=["before its work", "at its work"])
def test_the_memory_monitor_is_named_as_memory(text: str) -> None:
    crash = read_crash(HEAD + text)
    assert crash.is_memory
    assert not crash.is_bug
    assert crash.reason.startswith("out of memory: Ray's memory monitor")


def test_the_last_lines_name_the_line_that_raised() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        import traceback

        assert last_lines(traceback.format_exc()).startswith("ValueError: a b (")


PLUGIN = """
import os
from typing import Literal

from baselines.lora import Lora, LoraConfig


class FaultyConfig(LoraConfig):
    name: Literal["faulty"] = "faulty"

    def build(self):
        return Faulty(self)


class Faulty(Lora):
    def loss(self, *given, **named):
        with open(os.environ["STARTS"], "a") as file:
            file.write("x")
        return no_such_name
"""
RUN = """
import sys
from pathlib import Path

from suite.workflows.configs import run_config
from suite.tuning.ray_runner import run_all
from suite.tuning.run_settings import RunSettings
from trainables.resources import Resources
from suite.tuning.run_queue import ListQueue

out, workers = Path(sys.argv[1]), int(sys.argv[2])
settings = ["benchmark.domains=[shapes, digits]", "benchmark.shots=4", "training.steps=2", "training.batch_size=4", "method.rank=2"]
source = ListQueue([run_config("mini-mtil", method="faulty", seed=0, settings=settings)])
run_all(source, RunSettings(out, out, "cpu", resources=Resources(cpus=0.5, workers=workers)))
print(source.failures[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_in_a_method_ends_its_run_at_once_in_its_own_words(workers: int, tmp_path: Path) -> None:
    """A method of an outside package, on a real Ray: nothing is begun twice."""
    outside = tmp_path / "outside" / "faulty-1.dist-info"
    outside.mkdir(parents=True)
    (outside.parent / "faulty.py").write_text(PLUGIN)
    (outside / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (outside / "entry_points.txt").write_text("[codyra_suite.methods]\nfaulty = faulty:FaultyConfig\n")
    environment = {**os.environ, "PYTHONPATH": str(outside.parent), "STARTS": str(tmp_path / "starts"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(tmp_path), str(workers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert re.search(r"NameError: name 'no_such_name' is not defined \(.*faulty\.py:\d+, in loss\)", done.stdout), (
        done.stdout + done.stderr
    )
    assert (tmp_path / "starts").read_text() == "x" * workers
