"""LoRA-Squeeze: what is cut, by value, and ranks that a finished run says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.lora import BRANCH, LoraConfig
from baselines.merged_rank import spread
from baselines.squeeze import Squeeze, SqueezeConfig, largest
from suite.benchmarks.mini import MiniMtilConfig
from suite.config import RunConfig
from suite.errors import ConfigError
from suite.lowrank.layer import Factors
from suite.lowrank.truncation import decomposed
from suite.testing.methods import IMAGES, MethodConformance
from trainables.method import Step
from trainables.preflight import refusals
from trainables.run import RunContext, execute
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


@pytest.mark.slow
class TestOtherSettings(MethodConformance):
    methods = ({"name": "squeeze", "merged_rank": 2, "stages": 3, "refine_fraction": 0.4, "allocation": "global"},)
    streams = (IMAGES,)


def test_a_cut_is_the_truncated_decomposition() -> None:
    """Its error is the tail of the singular values; at full rank there is none."""
    generator = torch.Generator().manual_seed(0)
    factors = Factors(torch.randn(6, 20, generator=generator), torch.randn(12, 6, generator=generator))
    whole, found = (factors.b @ factors.a).double(), decomposed(factors)
    values = torch.linalg.svdvals(whole)
    assert torch.allclose(found.values, values[:6], atol=1e-4)
    a, b = found.cut(4)
    assert float((b @ a - whole).norm()) == pytest.approx(float(values[4:].norm()), rel=1e-5)
    assert torch.allclose(a.norm(dim=1), b.norm(dim=0), rtol=1e-5)
    kept, whole_norm = found.kept(4).tolist()
    assert kept / whole_norm == pytest.approx(float(values[:4].square().sum() / values.square().sum()))
    a, b = found.cut(6)
    assert torch.allclose((b @ a).double(), whole, atol=1e-5)
    thin = decomposed(Factors(torch.randn(6, 3, generator=generator), torch.randn(5, 6, generator=generator)))
    assert len(thin.values) == 3 == thin.v.shape[1]


def test_fractions_of_a_rank_are_spread_over_the_slots() -> None:
    names = [f"s{n}" for n in range(8)]
    assert list(spread(1.25, names).values()) == [1, 1, 1, 2, 1, 1, 1, 2]
    assert sum(spread(7.83, names).values()) == 62
    assert set(spread(3.0, names).values()) == {3}


def test_the_largest_values_of_all_slots_stay() -> None:
    def with_values(*values: float) -> Any:
        return decomposed(Factors(torch.eye(3), torch.diag(torch.tensor(values))))

    assert largest({"a": with_values(9, 3, 1), "b": with_values(5, 4, 2), "c": with_values(0.1, 0.1, 0.1)}, 4) == {
        "a": 2,
        "b": 2,
        "c": 0,
    }


def test_post_merges_the_leading_parts_of_what_lora_learned(make_either: Make) -> None:
    trainer = make_either(SqueezeConfig(rank=6, merged_rank=2.5, placement="qv"))
    plain = make_either(LoraConfig(rank=6, placement="qv"))
    trainer.sample_steps(0, 4)
    plain.sample_steps(0, 4)
    ranks = trainer.method.facts().effective_rank
    assert sum(ranks.values()) == int(2.5 * len(ranks))
    for slot in trainer.method.slots:
        (squeezed,), (whole,) = trainer.journal.tasks[0][slot.name], plain.journal.tasks[0][slot.name]
        found = decomposed(whole)
        wanted = found.cut(ranks[slot.name])
        assert len(squeezed.a) == ranks[slot.name]
        assert torch.allclose(squeezed.b @ squeezed.a, wanted.b @ wanted.a, atol=1e-6)
        assert float((whole.b @ whole.a - squeezed.b @ squeezed.a).norm()) > 0


@pytest.mark.parametrize("plain", [False, True])
def test_annealing_lowers_the_rank_while_it_learns(plain: bool, make_trainer: Make) -> None:
    """Cuts at steps 3 and 6 of 8; parts that were cut stay at exactly zero, whatever the optimizer remembers of them."""
    trainer = make_trainer(SqueezeConfig(rank=8, merged_rank=2.0, placement="qv", stages=2, refine_fraction=0.25), plain=plain)
    method = trainer.method
    assert isinstance(method, Squeeze)
    seen: list[set[int]] = []
    changed: list[bool] = []
    before = method.before_step

    def look_and_begin(index: int, lr: float) -> None:
        old = {slot.name: slot.branch(BRANCH).factors() for slot in method.slots}
        before(index, lr)
        if index in (3, 6):
            for slot in method.slots:
                kept = decomposed(old[slot.name]).cut(5 if index == 3 else 2)
                new = slot.branch(BRANCH).factors()
                assert new is not None
                assert torch.allclose(new.b @ new.a, kept.b @ kept.a, atol=1e-6)
        changed.append(bool(method.restarted()))

    def look(step: Step) -> None:
        branches = [slot.branch(BRANCH) for slot in method.slots]
        seen.append({int(branch.b.any(dim=0).sum()) for branch in branches})

    method.before_step, method.after_step = look_and_begin, look  # type: ignore[method-assign]
    next(trainer.rows(0))
    assert seen == [{8}] * 3 + [{5}] * 3 + [{2}] * 2
    assert changed == [index in (3, 6) for index in range(8)]
    assert method.jumps is None
    (added,) = trainer.journal.tasks[0][method.slots[0].name]
    assert added.a.shape[0] == 2


def test_cuts_without_steps_between_them_are_refused(make_trainer: Make) -> None:
    with pytest.raises(ConfigError, match=r"squeeze: 8 steps for task '\w+' leave no room for 9 cuts"):
        make_trainer(SqueezeConfig(stages=9))


def test_ranks_come_from_a_finished_run(make_config: Callable[..., RunConfig], run_context: RunContext, tmp_path: Path) -> None:
    """Slot by slot and task by task those that CoDyRA left; what does not fit is refused before anything is learned."""
    fields: dict[str, Any] = {"rank": 6, "placement": "qv@0"}
    done = execute(make_config("codyra", kappa_max=0.2, **fields), run_context)
    wanted = [result.effective_rank for result in done.results[1:]]
    assert len({rank for ranks in wanted for rank in ranks.values()}) > 1
    folder = str(run_context.out / "runs" / done.run_id)
    found = execute(make_config("squeeze", merged_rank=folder, **fields), run_context)
    assert [result.effective_rank for result in found.results[1:]] == wanted
    for match, changed in (
        (r"left \d parts in a slot, and method.rank offers 1; set method.rank to at least", {"rank": 1}),
        ("has no rank for .*; name a run with the same method.placement", {"placement": "qvo@0"}),
    ):
        with pytest.raises(Exception, match=match):
            execute(make_config("squeeze", **{"merged_rank": folder, **fields, **changed}), run_context)
    with pytest.raises(Exception, match="merged_rank 9 exceeds rank 6"):
        make_config("squeeze", rank=6, merged_rank=9.0)
    absent = make_config("squeeze", **{**fields, "merged_rank": str(tmp_path)})
    others = make_config("random-parts", **{**fields, "merged_rank": folder}).model_copy(
        update={"benchmark": MiniMtilConfig(domains=("faces", "digits"), shots=4)}
    )
    found_early = refusals([absent.resolved(), others.resolved()], tmp_path)
    assert "there is no record; give the folder of a run" in found_early[0].reason
    assert "learned shapes, faces, digits, and this one is to learn faces, digits" in found_early[1].reason
