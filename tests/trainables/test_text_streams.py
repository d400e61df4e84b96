"""Text streams end to end: real rows of every TRACE and standard task, and the embedded stream."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.backbones.causal_learner import CausalLearner
from suite.benchmarks.text_scores import score
from suite.config import RunConfig, validate
from suite.leaderboard.selection import metric_value
from suite.runs.generations import read_generations
from suite.runs.outcomes import read_outcomes
from suite.runs.record import Record, read_record
from trainables.run import RunContext, execute

TRACE = ("C-STANCE", "FOMC", "MeetingBank", "Py150", "ScienceQA", "NumGLUE-cm", "NumGLUE-ds", "20Minuten")
STANDARD = ("dbpedia", "amazon", "yahoo", "agnews")
CASES = [("trace", "trace_real", task) for task in TRACE] + [("standard-cl", "standard_cl_real", task) for task in STANDARD]
SMALL = {"max_prompt_tokens": 96, "max_answer_tokens": 24}
OF_A_GUESS = 0.56  # loss of who answers with one of three letters at random and knows where answers end: log(3) / 2
BUDGET = {"steps": 12, "batch_size": 8, "micro_batch_size": 4, "lr": 5e-3, "precision": "fp32"}


def run(fields: dict[str, Any], out: Path, data_root: Path, **more: Any) -> Record:
    config = validate(RunConfig, fields, where="test")
    return execute(config, RunContext(out=out, data_root=data_root, device="cpu"), **more)


def untrained_loss(fields: dict[str, Any], data_root: Path) -> float:
    """Mean loss over all training rows of the first task before any step."""
    config = validate(RunConfig, fields, where="test")
    learner = config.backbone.build(config.benchmark.build(data_root), torch.device("cpu"))  # type: ignore[attr-defined]
    assert isinstance(learner, CausalLearner)
    rows = torch.arange(len(learner.stream.tasks[0].train))
    with torch.no_grad():
        return learner.forward(learner.batch(torch.zeros_like(rows), rows, torch.Generator())).loss.item()


@pytest.mark.real_data
@pytest.mark.parametrize("model", [pytest.param("stories260k", marks=pytest.mark.slow), "mini-lm"])
@pytest.mark.parametrize(("benchmark", "folder", "task"), CASES)
def test_every_real_task_is_learned_answered_and_stored(
    benchmark: str, folder: str, task: str, model: str, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    root = real_data(folder).parent
    backbone: dict[str, Any] = {"name": "mini-lm", **SMALL}
    if model == "stories260k":
        backbone = {"name": "causal-lm", "model": str(real_data("tiny_lm_real/stories260k")), **SMALL}
    fields = {
        "benchmark": {"name": benchmark, "folder": folder, "tasks": [task]},
        "method": {"name": "lora", "rank": 8},
        "backbone": backbone,
        "training": BUDGET,
    }
    record = run(fields, tmp_path, root)
    assert record.status == "finished"
    assert record == read_record(tmp_path / "runs" / record.run_id)
    result = record.results[1]
    assert result.train_loss is not None
    untrained = untrained_loss(fields, root)
    if untrained > OF_A_GUESS:  # else a dozen steps have nothing to gain
        assert result.train_loss < 0.9 * untrained
    assert result.facts["padding_share"] < 0.15
    assert result.facts["prompts_cut_on_the_left"]["test"] <= result.facts["rows"]["test"]
    stream = validate(RunConfig, fields, where="test").benchmark.build(root)
    folder_of_run = tmp_path / "runs" / record.run_id
    texts, scores = read_generations(folder_of_run, 1), read_outcomes(folder_of_run)
    for row in (0, 1):
        rows = zip(texts[f"test/{row}/0"], stream.tasks[0].test.answers, stream.tasks[0].test.prompts, strict=True)  # type: ignore[union-attr]
        again = [score(stream.tasks[0].metric, "strict", *values) for values in rows]  # type: ignore[union-attr]
        assert scores[("test", row, 0)].tolist() == pytest.approx(again, abs=0.05)


METHODS = {"zero-shot": {}, "codyra": {"kappa_levels": 5}, "replay": {"memory_size": 20}}


@pytest.mark.parametrize("method", METHODS)
def test_text_in_micro_batches_resumes_bit_for_bit(method: str, tmp_path: Path) -> None:
    """One method of each kind: none, one that merges, one with batches of its own; all resume on texts in ``tests/conformance``."""
    fields = {
        "benchmark": {"name": "mini-trace", "tasks": ["Py150", "NumGLUE-ds", "FOMC"]},
        "method": {"name": method, **METHODS[method]},
        "training": {"steps": 12, "micro_batch_size": 4},
    }
    whole = run(fields, tmp_path / "whole", Path())
    stopped = run(fields, tmp_path / "parts", Path(), listener=lambda report: report.row < 1)
    resumed = run(fields, tmp_path / "parts", Path())
    assert (whole.status, stopped.status, resumed.status) == ("finished", "stopped", "finished")
    assert (resumed.test, resumed.validation) == (whole.test, whole.validation)
    assert [r.train_loss for r in resumed.results] == [r.train_loss for r in whole.results]
    assert [r.facts for r in resumed.results] == [r.facts for r in whole.results]
    assert (whole.test[0] == whole.test[-1]) == (method == "zero-shot")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fine_tuning_learns_sequential_lora_forgets_and_replay_brings_it_back(tmp_path: Path) -> None:
    """The whole of mini-trace as it comes; the bounds are the criteria in docs/mini.md, which were fixed before it was measured."""
    lora, replay = (run({"benchmark": "mini-trace", "method": method}, tmp_path, Path()) for method in ("lora", "replay"))
    for record in (lora, replay):
        untouched = sum(value or 0.0 for value in record.test[0]) / len(record.tasks)
        assert metric_value(record, "learning_accuracy") > untouched + 15
        assert metric_value(record, "trace.op") > untouched
    assert metric_value(lora, "trace.bwt") < -5
    assert metric_value(replay, "trace.bwt") > metric_value(lora, "trace.bwt") + 5
