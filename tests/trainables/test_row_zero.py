"""Row 0: shared where it is the same number, compared with published zero-shot values."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from suite.benchmarks.stream import TextTask
from suite.benchmarks.text_scores import score_examples
from suite.config import RunConfig
from suite.errors import DataError
from suite.runs.generations import read_generations
from trainables.run import RunContext, execute


@pytest.mark.parametrize(("shift", "accepted", "refused"), [(0.0, False, False), (9.0, False, True), (9.0, True, False)])
def test_drifted_zero_shot_is_refused_before_training(
    shift: float,
    accepted: bool,
    refused: bool,
    make_config: Callable[..., RunConfig],
    run_context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config("lora")
    measured = execute(make_config("zero-shot"), run_context).test[0]
    published = {"shapes": (measured[0] or 0.0) + shift, "mean": sum(v or 0.0 for v in measured) / 3}
    monkeypatch.setattr(type(config.benchmark), "published_zero_shot", published)
    here = RunContext(run_context.out, run_context.data_root, "cpu", accept_zero_shot=accepted)
    if refused:
        with pytest.raises(DataError, match="shapes .* instead of .*--accept-zero-shot"):
            execute(config, here)
    else:
        assert execute(config, here).status == "finished"


def test_runs_share_a_row_of_the_precision_they_ask_for(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    """What decides is the precision of the evaluation, not of training; on a CPU ``auto`` is that of training."""
    rows = {}
    for name, training in {
        "bf16": {"precision": "bf16"},
        "bf16 asked for": {"eval_precision": "bf16"},
        "fp32": {},
        "fp32 asked for": {"precision": "bf16", "eval_precision": "fp32"},
    }.items():
        before = set((run_context.out / "zero_shot").glob("*"))
        execute(make_config("zero-shot", training=training), run_context)
        rows[name] = set((run_context.out / "zero_shot").glob("*")) - before
    assert [len(made) for made in rows.values()] == [1, 0, 1, 0]


def test_row_0_averages_scores_of_full_precision_like_every_other_row(run_context: RunContext) -> None:
    """Its scores were rounded to half precision on the shared shelf before they were averaged; those of other rows are not."""
    fields = {"benchmark": {"name": "mini-trace", "tasks": ["MeetingBank"]}, "method": "zero-shot"}
    config = RunConfig.model_validate(fields)
    record = execute(config, run_context)
    task = config.benchmark.build(run_context.data_root).tasks[0]
    assert isinstance(task, TextTask)
    answers = read_generations(run_context.out / "runs" / record.run_id, 0)["test/0/0"]
    scores = score_examples(task.metric, "strict", answers, task.test.answers, task.test.prompts)
    assert len(set(scores) - {0.0, 100.0}) > 1  # graded, or rounding could not show
    assert record.test[0] == record.test[1] == [pytest.approx(scores.mean(), abs=1e-6)]


def test_a_row_that_was_copied_from_other_data_is_measured_again(run_context: RunContext) -> None:
    """It was believed: rows of the union of label spaces stood as row 0 of the task's own, 27.0 for 33.5."""

    def run(benchmark: str) -> list[list[float | None]]:
        fields = {"benchmark": {"name": benchmark, "domains": ["shapes", "digits"], "shots": 2}, "method": "zero-shot"}
        return execute(RunConfig.model_validate(fields), run_context).test

    shelf = run_context.out / "zero_shot"
    union = run("mini-xtail")
    (other,) = shelf.iterdir()
    own = run("mini-mtil")
    (folder,) = set(shelf.iterdir()) - {other}
    assert own != union
    shutil.rmtree(run_context.out / "runs")
    shutil.copytree(other, folder, dirs_exist_ok=True)
    assert run("mini-mtil") == own
