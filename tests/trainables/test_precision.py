"""What a run's arithmetic is set to: precision of products and evaluations, order of sums."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from suite.config import RunConfig, validate
from suite.errors import ConfigError
from suite.parts import TrainingConfig
from trainables.precision import evaluating, evaluation_precision, explained, resolved_precision, set_arithmetic
from trainables.preflight import refusals
from trainables.run import RunContext, prepare

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    set_arithmetic(TrainingConfig(), CPU)


@pytest.mark.parametrize(
    ("training", "on_cpu", "on_gpu"),
    [
        ({}, "fp32", "bf16"),
        ({"eval_precision": "fp32"}, "fp32", "fp32"),
        ({"precision": "bf16", "eval_precision": "fp32"}, "fp32", "fp32"),
        ({"precision": "tf32", "eval_precision": "fp32"}, "fp32", "fp32"),
        ({"precision": "tf32"}, "tf32", "bf16"),
    ],
)
def test_evaluation_precision_is_the_one_in_use(
    training: dict[str, str], on_cpu: str, on_gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    config = TrainingConfig.model_validate(training)
    assert evaluation_precision(config, torch.device("cpu")) == on_cpu
    assert evaluation_precision(config, torch.device("cuda")) == on_gpu


def tf32_allowed() -> set[bool]:
    return {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}


def test_fp32_means_fp32_in_products_and_convolutions() -> None:
    """Torch by itself rounds the inputs of convolutions on GPUs to tf32."""
    for precision, allowed in (("tf32", True), ("fp32", False)):
        set_arithmetic(TrainingConfig.model_validate({"precision": precision}), CPU)
        assert tf32_allowed() == {allowed}


def test_evaluations_have_their_own_precision_and_training_gets_its_own_back() -> None:
    training = TrainingConfig(precision="tf32", eval_precision="fp32")
    set_arithmetic(training, CPU)
    with pytest.raises(KeyError), evaluating(training, CPU):
        assert tf32_allowed() == {False}
        assert not torch.is_autocast_enabled("cpu")
        raise KeyError
    assert tf32_allowed() == {True}
    with evaluating(TrainingConfig(eval_precision="bf16"), CPU):
        assert torch.is_autocast_enabled("cpu")
    assert tf32_allowed() == {False}


@pytest.mark.parametrize(("given", "kept"), [(":16:8", ":16:8"), (":4096:2:16:8", ":4096:8"), (None, ":4096:8")])
def test_a_gpu_is_given_sums_of_fixed_order_and_a_cpu_left_alone(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not merely warned: torch keeps attention's unordered kernels then."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given or "")
    set_arithmetic(TrainingConfig(), CPU)
    assert not torch.are_deterministic_algorithms_enabled()
    set_arithmetic(TrainingConfig(), GPU)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == kept
    set_arithmetic(TrainingConfig(deterministic=False), GPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_a_fixed_order_is_named_with_the_way_out() -> None:
    """The words are torch's own, of an operation that has no ordered kernel anywhere."""
    torch.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError) as refused:
        torch.zeros(3, 3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    found = explained(refused.value)
    assert isinstance(found, ConfigError)
    assert (
        str(found)
        == "training.deterministic: 'put_' adds up in no fixed order; set training.deterministic=false for this model."
    )
    late = explained(RuntimeError("Deterministic behavior was enabled ... you must set CUBLAS_WORKSPACE_CONFIG=:4096:8 ..."))
    assert str(late).startswith("CUBLAS_WORKSPACE_CONFIG: was not set before the first product")
    other = RuntimeError("CUDA error")
    assert explained(other) is other


def config_of(precision: str) -> RunConfig:
    fields = {"benchmark": {"name": "mini-mtil", "domains": ["shapes"], "shots": 1}, "method": "lora"}
    return validate(RunConfig, {**fields, "training": {"precision": precision}}, where="test")


def test_auto_on_a_cpu_is_the_run_of_fp32(tmp_path: Path) -> None:
    said: list[str] = []
    configs = [config_of(precision) for precision in ("auto", "fp32", "bf16")]
    auto, fp32, bf16 = (prepare(config, RunContext(tmp_path, tmp_path, "cpu", say=said.append)) for config in configs)
    assert auto.run_id == fp32.run_id != bf16.run_id
    assert auto.config == fp32.config
    assert said == ["training.precision: auto is fp32 on this device"]
    (refusal,) = refusals([configs[0].resolved(), configs[1].resolved()], tmp_path)
    assert refusal.position == 0
    assert "'auto' is for a run alone" in refusal.reason


def test_auto_is_bf16_where_the_cores_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that only imitates it is slower with it than without."""
    for capability, expected in (((9, 0), "bf16"), ((7, 5), "fp32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert resolved_precision(config_of("auto"), GPU).training.precision == expected
    assert resolved_precision(config_of("tf32"), GPU) == config_of("tf32")
