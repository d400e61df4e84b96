"""CoDyRA's mathematics: schedule, operators, no-signal rank, degenerate settings. Numbers from its released code."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import ConfigError
from suite.randomness import RandomStreams
from trainables.codyra import Codyra, CodyraConfig, threshold_, threshold_schedule
from trainables.method import Step, TaskContext
from trainables.stream_trainer import StreamTrainer

RELEASED = threshold_schedule(500, 0.5, 50, 5e-3, where="t")


def test_released_schedule() -> None:
    """249 applications; sum of all kappa 0.6498980; first at step 251; kappa 0.005/49 at 251, 0.005 from 490 on."""
    applied = [kappa for kappa in RELEASED if kappa is not None]
    assert len(applied) == 249
    assert sum(applied) == pytest.approx(0.6498980, abs=1e-6)
    assert RELEASED[250] is None
    assert RELEASED[251] == pytest.approx(0.005 / 49)
    assert RELEASED[254] == pytest.approx(0.005 / 49)
    assert RELEASED[255] == pytest.approx(2 * 0.005 / 49)
    assert RELEASED[489] == pytest.approx(48 * 0.005 / 49)
    assert RELEASED[490] == RELEASED[499] == pytest.approx(0.005)


def test_main_py_defaults() -> None:
    schedule = threshold_schedule(1000, 0.5, 50, 7e-4, where="t")
    assert schedule.index(next(kappa for kappa in schedule if kappa is not None)) == 501
    assert sum(kappa or 0.0 for kappa in schedule) == pytest.approx(0.1820, abs=1e-4)


def test_too_few_steps_are_refused_with_the_least_number() -> None:
    with pytest.raises(ConfigError, match=r"set method\.kappa_levels=45 or training\.steps=100"):
        threshold_schedule(90, 0.5, 50, 5e-3, where="dtd")
    assert threshold_schedule(100, 0.5, 50, 5e-3, where="dtd")[-1] == pytest.approx(5e-3)
    assert len(threshold_schedule(90, 0.5, 45, 5e-3, where="dtd")) == 90


@given(st.integers(1, 200), st.integers(2, 80), st.integers(0, 19))
def test_named_settings_are_enough(steps: int, levels: int, dense: int) -> None:
    fraction = dense / 20
    try:
        threshold_schedule(steps, fraction, levels, 1.0, where="t")
    except ConfigError as error:
        named = dict(re.findall(r"(kappa_levels|training\.steps)=(\d+)", str(error)))
        threshold_schedule(int(named["training.steps"]), fraction, levels, 1.0, where="t")
        if "kappa_levels" in named:
            threshold_schedule(steps, fraction, int(named["kappa_levels"]), 1.0, where="t")


def test_the_shortest_task_is_named() -> None:
    """The 500-row release: FOMC has 48 steps of 32 rows, the others more; what is named for it fits all."""
    tasks, steps = ["C-STANCE", "FOMC", "MeetingBank"], [80, 48, 112]
    with pytest.raises(ConfigError, match=r"48 steps for task 'FOMC'.* set method\.kappa_levels=24"):
        CodyraConfig(kappa_levels=50).build().check_budget(tasks, steps)
    CodyraConfig(kappa_levels=24).build().check_budget(tasks, steps)


@pytest.mark.parametrize(
    ("steps", "levels", "note"),
    [
        (500, 50, None),
        (100, 50, None),
        (30, 15, "codyra: 30 steps leave room for 15 threshold levels instead of 50"),
        (3, 0, "codyra: 3 steps leave no room for a threshold, so no rank is pruned"),
    ],
)
def test_levels_that_were_not_set_follow_the_budget(
    steps: int, levels: int, note: str | None, make_trainer: Callable[..., StreamTrainer]
) -> None:
    """Every first try is short: only levels that somebody asked for are refused."""
    method = CodyraConfig(placement="vision:q@0").build()
    method.check_budget(["t"], [steps])
    assert method._schedule(steps, "t") == (
        threshold_schedule(steps, 0.5, levels, 5e-3, where="t") if levels else [None] * steps
    )
    chosen, notes = method._levels_in_words(steps)
    assert chosen == {"kappa_levels": levels}
    assert notes == ((note,) if note else ())
    if steps == 3:
        result = next(make_trainer(method.config, steps=steps).rows(0)).result
        assert (result.facts["kappa_levels"], result.facts["notes"]) == (0, [note])
        assert result.no_signal_rank == 16


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("codyra_release", [-1.5, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.5]),
        ("soft", [-1.5, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.5]),
    ],
)
def test_operator_vectors(operator: str, expected: list[float]) -> None:
    gate = torch.tensor([-2.5, -2.0, -1.5, -0.5, 0.5, 1.5, 2.0, 2.5])
    threshold_(gate, torch.tensor(1.0), operator)  # type: ignore[arg-type]
    assert gate.tolist() == expected


def test_release_leaves_a_gate_of_exactly_kappa() -> None:
    gate = torch.tensor([1.0, -1.0])
    threshold_(gate, torch.tensor(1.0), "codyra_release")
    assert gate.tolist() == [1.0, -1.0]


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20), st.floats(0, 2, width=32))
def test_soft_threshold_is_odd_and_never_enlarges(values: list[float], kappa: float) -> None:
    gate, mirrored = torch.tensor(values), -torch.tensor(values)
    threshold_(gate, torch.tensor(kappa), "soft")
    threshold_(mirrored, torch.tensor(kappa), "soft")
    assert torch.equal(gate, -mirrored)
    assert bool((gate.abs() <= torch.tensor(values).abs()).all())


@pytest.mark.parametrize(("operator", "share"), [("soft", 8.27), ("codyra_release", 8.22)])
def test_gates_without_signal_leave_about_half_of_16(operator: str, share: float) -> None:
    """2304 gates of the released setting, no gradient; the sampling error of the mean is about 0.17."""
    gate = torch.randn(144, 16, generator=torch.Generator().manual_seed(0))
    for kappa in RELEASED:
        if kappa is not None:
            threshold_(gate, torch.tensor(kappa), operator)  # type: ignore[arg-type]
    assert float((gate != 0).sum() / 144) == pytest.approx(share, abs=0.5)


def run_tasks(trainer: StreamTrainer, count: int = 1) -> StreamTrainer:
    for report in trainer.rows(0):
        if report.result.row == count:
            break
    return trainer


def test_frozen_gates_end_at_the_no_signal_rank(make_trainer: Callable[..., StreamTrainer]) -> None:
    """With gate learning rate 0 the rank after a task is the no-signal value within sampling error (30 slots x 16)."""
    config = CodyraConfig(gate_lr_multiplier=0.0, kappa_levels=3, kappa_max=0.4)
    trainer = make_trainer(config)
    result = next(trainer.rows(0)).result
    ranks = list(result.effective_rank.values())
    assert result.no_signal_rank is not None
    assert sum(ranks) / len(ranks) == pytest.approx(result.no_signal_rank, abs=3 * 2 / len(ranks) ** 0.5)
    assert result.no_signal_rank < 12


def test_kappa_zero_equals_gated_lora(make_trainer: Callable[..., StreamTrainer]) -> None:
    """kappa_max 0 and a threshold phase that never comes are the same function, bit for bit, and prune nothing."""
    never = run_tasks(make_trainer(CodyraConfig(kappa_max=0.0, kappa_levels=3)))
    late = run_tasks(make_trainer(CodyraConfig(kappa_max=0.5, kappa_levels=2, dense_fraction=0.75), steps=8))
    gated = make_trainer(CodyraConfig(kappa_max=0.0, kappa_levels=2, dense_fraction=0.75), steps=8)
    run_tasks(gated)
    for name, slot in never.learner.slots.items():
        assert torch.equal(slot.weight, gated.learner.slots[name].weight)
    assert all(rank == 16 for rank in never.method.facts().effective_rank.values())
    assert any(rank < 16 for rank in late.method.facts().effective_rank.values())


def test_prox_sgd_moves_gates_by_the_plain_gradient(make_trainer: Callable[..., StreamTrainer]) -> None:
    """One step: w <- w - lr grad."""
    trainer = make_trainer(CodyraConfig(gate_update="prox_sgd", kappa_levels=3, placement="vision:q", kappa_max=0.0))
    method = trainer.method
    assert isinstance(method, Codyra)
    method.begin_task(trainer.context(0))
    gates = method.gates()
    before = [gate.detach().clone() for gate in gates]
    for gate in gates:
        gate.grad = torch.full_like(gate, 2.0)
    method.before_step(0, 0.5)
    method.after_step(Step(0, 8, 0.5, [], []))
    assert all(torch.equal(new, old - 1.0) for new, old in zip(gates, before, strict=True))


def test_prox_sgd_gates_are_the_optimizers_that_leaves_them_alone(make_trainer: Callable[..., StreamTrainer]) -> None:
    """They count as trainable, and workers add up and clip the gradients of what the optimizer holds; AdamW does not move them."""
    counts, kept = [], []
    for update in ("adamw", "prox_sgd"):
        config = CodyraConfig(gate_update=update, gate_lr_multiplier=0.0, kappa_levels=3, kappa_max=0.0)
        trainer = make_trainer(config, weight_decay=0.1)
        method = trainer.method
        assert isinstance(method, Codyra)
        end_task = method.end_task

        def look(context: TaskContext, method: Codyra = method, end_task: Callable[[TaskContext], None] = end_task) -> None:
            assert all(gate.grad is not None for gate in method.gates())
            kept.append(torch.stack(method.gates()).detach().clone())
            end_task(context)

        method.end_task = look  # type: ignore[method-assign]
        counts.append(next(trainer.rows(0)).result.costs.trainable_parameters)
    assert counts[0] == counts[1]
    begun = RandomStreams(0)["gate"]
    assert all(torch.equal(gates, torch.randn(gates.shape, generator=begun)) for gates in kept[1:])


def test_kappa_times_lr_prunes_less(make_trainer: Callable[..., StreamTrainer]) -> None:
    scaled = run_tasks(make_trainer(CodyraConfig(kappa_max=0.5, kappa_levels=3, kappa_times_lr=True)))
    plain = run_tasks(make_trainer(CodyraConfig(kappa_max=0.5, kappa_levels=3)))
    assert isinstance(scaled.method, Codyra)
    assert isinstance(plain.method, Codyra)
    assert max(scaled.method.applied) <= 0.5 * 3e-3 < max(plain.method.applied)


def test_gates_all_ones_have_their_own_no_signal_rank(make_trainer: Callable[..., StreamTrainer]) -> None:
    kept = next(make_trainer(CodyraConfig(gate_init="ones", kappa_max=0.1, kappa_levels=3)).rows(0)).result
    gone = next(make_trainer(CodyraConfig(gate_init="ones", kappa_max=2.0, kappa_levels=3)).rows(0)).result
    assert (kept.no_signal_rank, gone.no_signal_rank) == (16.0, 0.0)
    assert set(gone.effective_rank.values()) == {0}
    assert sum(gone.update_norm.values()) == 0.0


def test_every_task_begins_with_zero_update_and_full_rank(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(CodyraConfig(kappa_levels=3))
    pixels = torch.randn(2, 3, 32, 32)
    for report in trainer.rows(0):
        before = trainer.learner.network.encode_image(pixels)  # type: ignore[operator]
        if report.result.row < len(trainer.stream):
            context = trainer.context(report.result.row)
            trainer.method.begin_task(context)
            assert torch.equal(trainer.learner.network.encode_image(pixels), before)  # type: ignore[operator]
            assert all(slot.branch("task").effective_rank() == 16 for slot in trainer.method.slots)
            for slot in trainer.method.slots:
                del slot.parts["task"]
