"""What the speed commands measure: both sides do the same work, floors are floors, shares are shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from suite.cli.main import app
from suite.cli.perf_speed import PrecisionOption
from suite.data.image_facts import class_facts, stream_facts
from suite.errors import ConfigError
from suite.measuring.kernels import count_step
from suite.measuring.method_costs import measure_methods
from suite.measuring.packing import Packing, best_count
from suite.measuring.step import measure_evaluation, measure_step, measure_stream
from suite.measuring.step_profile import _covered, profile_steps
from suite.measuring.workload import Workload
from suite.parts import TrainingConfig

CPU = torch.device("cpu")


def test_the_fast_side_has_every_format_that_both_sides_can_have_in_turn() -> None:
    """tf32, which a run may have, is one switch of the whole process; evaluations have none of it either."""
    formats = get_args(TrainingConfig.model_fields["eval_precision"].annotation)
    assert get_args(get_args(PrecisionOption)[0]) == formats


@pytest.mark.parametrize("backbone", ["mini-clip", "mini-lm"])
def test_both_sides_learn_the_same(backbone: str) -> None:
    work = Workload(CPU, backbone, steps=10, batch_size=8)
    losses = []
    for plain in (True, False):
        trainer = work.trainer(work.stream(), plain=plain)
        assert (trainer.learner.plain, trainer.plain) == (plain, plain)
        losses.append(next(trainer.rows(0)).result.train_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_noise_has_xtails_tasks_and_class_names() -> None:
    stream = Workload(CPU, "ViT-B-16-quickgelu", tasks=2, test_share=0.001).stream()
    assert list(stream.task_names) == stream_facts("xtail")["orders"]["I"][:2]
    assert stream.fingerprint() == Workload(CPU, "ViT-B-16-quickgelu", tasks=2, test_share=0.001).stream().fingerprint()
    assert [len(task.test) for task in stream.tasks] == [3, 2]


def test_a_named_task_is_the_only_one() -> None:
    (noise,) = Workload(CPU, "ViT-B-16-quickgelu", task="eurosat").stream().tasks
    assert (noise.name, len(class_facts("xtail")["eurosat"]["names"])) == ("eurosat", 10)
    assert Workload(CPU, task="digits").stream().task_names == ("digits",)
    with pytest.raises(ConfigError, match=r"--task: 'digit' is not a task; .*nearest: 'digits'"):
        Workload(CPU, task="digit").stream()


@pytest.mark.parametrize("measure", [lambda work: measure_step(work, 1), lambda work: profile_steps(work, 3), count_step])
def test_a_method_without_steps_has_none_to_measure(measure: Callable[[Workload], object]) -> None:
    with pytest.raises(ConfigError, match="--method rail-primal: takes no optimizer steps, so there is none to measure"):
        measure(Workload(CPU, method="rail-primal", batch_size=4))


def test_kernels_that_do_not_fit_the_fast_side_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="--kernels: triton serves bf16 alone, and the fast side is fp32; add --precision bf16"
    ):
        Workload(CPU, kernels="triton")


@pytest.mark.parametrize(("backbone", "least"), [("mini-clip", 1.0), ("mini-lm", 0.85)])
def test_a_step_is_slower_than_its_floor_and_keeps_hardly_more_than_the_plain_one(backbone: str, least: float) -> None:
    """Of the mini language model it keeps the built weights, a little more than it saves in logits; the plain one keeps no mask either."""
    step, floor, memory = measure_step(Workload(CPU, backbone, batch_size=16), 1)
    assert step.ratio == pytest.approx(step.plain / step.fast)
    assert floor.plain == step.fast
    assert 0 < floor.fast < floor.plain
    assert memory.ratio > least


def test_evaluation_and_stream_have_their_rows() -> None:
    against, share = measure_evaluation(Workload(CPU, tasks=2), 1)
    assert "images" in against.note
    assert share.fast > 0
    (row,) = measure_stream(Workload(CPU, tasks=2, steps=4))
    assert row.ratio == pytest.approx(row.plain / row.fast)
    assert "2 tasks x 4 steps" in row.note


def test_overlapping_spans_count_once() -> None:
    assert _covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert _covered([]) == 0


@pytest.mark.slow
def test_a_profile_names_operations_and_shares() -> None:
    found = profile_steps(Workload(CPU), 5)
    assert len(found.top) == 5
    assert [spent for _, spent, _ in found.top] == sorted((spent for _, spent, _ in found.top), reverse=True)
    assert "aten::mm" in {name for name, _, _ in found.top}
    assert 0 < found.busy <= 1
    assert 0 <= found.waited < 1


@pytest.mark.parametrize(("rates", "best"), [((10, 10.5, 40), 1), ((10, 18, 19), 2), ((10, 18, 30), 4)])
def test_doubling_must_bring_a_tenth(rates: tuple[float, ...], best: int) -> None:
    assert best_count([Packing(2**power, rate, 1.0) for power, rate in enumerate(rates)]) == best


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["step", "--method", "zero-shot"], "has no step to measure"),
        (["profile", "--method", "codira"], "nearest: 'codyra'"),
        (["stream", "--backbone", "ViT-B-15"], "nearest: 'ViT-B-16'"),
        (["eval", "--backbone", "mini-lm"], "measure it with 'codyra-suite dev perf text'"),
        (["step", "--backbone", "models/absent/here"], "is not a folder"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(arguments: list[str], words: str) -> None:
    from suite.errors import ConfigError

    result = CliRunner().invoke(app, ["dev", "perf", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)


def test_every_method_is_measured_beside_lora() -> None:
    work = Workload(torch.device("cpu"), method="lora", batch_size=4, steps=2, tasks=2)
    told: list[int] = []
    lora, joint, zero_shot = measure_methods(work, 1, ["joint", "zero-shot"], told.append)
    assert (lora.method, lora.step_ratio, lora.stream_ratio) == ("lora", 1.0, 1.0)
    assert joint.step_ratio is not None and joint.step_ratio > 0
    assert joint.traits is not None and joint.traits["extra_data"] == "all earlier tasks"
    assert "does not learn" in zero_shot.refused
    assert told == [1, 2, 3]


def test_a_step_is_counted_without_a_number_being_computed() -> None:
    """Products of the whole step are those that torch's own counter sees in a real one; the weights stay what they were."""
    work = Workload(CPU, precision="bf16", batch_size=4)
    found = count_step(work)
    names = found.by_name
    assert found.kernels == sum(count for count, _ in names.values()) > 300
    assert found.bytes == sum(size for _, size in names.values())
    assert names["native_layer_norm"][0] == 15
    fewer = count_step(replace(work, kernels="triton"))
    assert fewer.by_name["sum_norm_of_branch"][0] == fewer.by_name["sum_norm_of_branch_backward"][0] > 0
    assert fewer.kernels < found.kernels and fewer.bytes < found.bytes
    assert not {"view", "detach", "empty_like", "device"} & names.keys()
    trainer = work.trainer(work.stream(), plain=False)
    trainer.sample_steps(0, 1)
    with FlopCounterMode(display=False) as counter:
        trainer.sample_steps(0, 1)
    assert (
        found.operations > counter.get_total_flops() > 0.5 * found.operations
    )  # torch's knows neither attention here nor addmm_
