"""The real language model of ``make real-lm``, where it is: answers as transformers gives them, exports read back, a killed run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import suite
from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
TASKS = ("FOMC", "NumGLUE-cm")


@pytest.fixture
def real_lm(repository: Path) -> Path:
    folder = Path(os.environ.get("CODYRA_REAL_LM", repository / "real-lm"))
    if not folder.exists():
        pytest.skip(f"no real language model in {folder}; fetch one with 'make real-lm' or name its place in CODYRA_REAL_LM")
    return folder


def settings(model: Path) -> list[str]:
    return [
        f"benchmark.tasks=[{', '.join(TASKS)}]",
        *(
            "backbone.name=causal-lm",
            f"backbone.model={model}",
            "backbone.max_prompt_tokens=48",
            "backbone.max_answer_tokens=4",
        ),
        *("training.steps=1", "training.batch_size=2", "training.lr=1e-4", "method.rank=2", "method.placement=qv"),
    ]


def test_answers_are_those_of_transformers_bare_and_in_the_template(real_lm: Path) -> None:
    stream = MiniTraceConfig(tasks=TASKS[:1]).build(Path()).limited(2)
    for on in (False, True):
        config = CausalLMConfig(model=str(real_lm), max_prompt_tokens=96, max_answer_tokens=8, chat_template=on)
        learner = config.build(stream, torch.device("cpu"))
        assert isinstance(learner, CausalLearner)
        rows = [row.ids for row in learner.texts.prompts(0, "test")]
        fast = learner.answers(rows, [8] * len(rows))
        learner.plain = True
        assert fast == learner.answers(rows, [8] * len(rows)), "chat template" if on else "bare"
        text = learner.tokenizer.decode(rows[0])
        assert ("<|im_start|>assistant" in text) == on


def test_a_killed_run_goes_on_and_its_exports_are_read_back(real_lm: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from suite.cli.main import main; main()", "run", "mini-trace", "--method", "lora"]
    command += ["--limit", "2", "--out", str(tmp_path), "--tracking", "none"]
    command += [part for setting in settings(real_lm) for part in ("--set", setting)]
    begun = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    while not list(tmp_path.glob("runs/*/record.json")) and begun.poll() is None:
        time.sleep(0.1)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    done = suite.run("mini-trace", method="lora", settings=settings(real_lm), limit=2, out=tmp_path, tracking="none")
    assert (done.record.status, done.record.tasks_done) == ("finished", 2)
    fresh = suite.run("mini-trace", method="lora", settings=settings(real_lm), limit=2, out=tmp_path / "fresh", tracking="none")
    assert fresh.record.run_id == done.record.run_id and fresh.record.test == done.record.test
    for form in ("hf", "peft"):
        exported = suite.export(done.record.run_id, form, tmp_path / form, out=tmp_path)
        assert exported.differing == 0 and exported.files, form
