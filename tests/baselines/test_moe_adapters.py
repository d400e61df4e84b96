"""MoE-Adapters: whose routers serve whom, what stops learning, and what the selector says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.moe_adapters import PART, MoEAdapters, MoEAdaptersConfig
from suite.backbones.learner import Learner, Output
from suite.config import RunConfig, validate
from suite.errors import ConfigError
from trainables.stream_trainer import StreamTrainer

Make = Callable[..., StreamTrainer]


def method_of(trainer: StreamTrainer) -> MoEAdapters:
    assert isinstance(trainer.method, MoEAdapters)
    return trainer.method


@pytest.fixture
def learned(make_trainer: Make) -> tuple[StreamTrainer, MoEAdapters]:
    """Two tasks of a few steps."""
    trainer = make_trainer(MoEAdaptersConfig(experts=6, width=8, scale=1.0, quantile=1.0), lr=1e-2)
    for index in range(2):
        trainer.sample_steps(index, 4)
    return trainer, method_of(trainer)


def judged(learner: Learner, method: MoEAdapters, tasks_of: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Scores of the three tasks' validation images, with ``tasks_of`` in the selector's place."""
    heard: list[Tensor] = []

    def note(output: Output, classes: Tensor) -> Tensor:
        heard.append(method.answer(output, classes))
        return heard[-1]

    learner.answer = note
    method.selector.tasks_of = lambda z, *, together: tasks_of(z)  # type: ignore[method-assign]
    learner.evaluate("validation", [0, 1, 2])
    assert not sum(len(part) for part in method._chosen)
    return heard


def test_each_image_has_its_own_routers_and_prompts(learned: tuple[StreamTrainer, MoEAdapters]) -> None:
    """Of images of both tasks and of none read together each gets what it gets where all are of its kind; none is zero-shot."""
    trainer, method = learned
    learner = trainer.learner
    whole = [judged(learner, method, lambda z, task=task: torch.full((len(z),), task)) for task in (-1, 0, 1)]  # type: ignore[misc]
    mixed = judged(learner, method, lambda z: torch.arange(len(z)) % 3 - 1)
    places = torch.cat([torch.arange(len(batch)) % 3 for batch in torch.arange(sum(map(len, mixed))).split(128)])
    for found, *others, own in zip(mixed, *whole, places.split([len(part) for part in mixed]), strict=True):
        expected = torch.stack(others)[own, torch.arange(len(own))]
        assert torch.allclose(found, expected, atol=1e-3)
        assert float((others[0] - others[1]).abs().max()) > 0.1 < float((others[1] - others[2]).abs().max())
    learner.plain = True
    plain = judged(learner, method, lambda z: torch.arange(len(z)) % 3 - 1)
    assert all(torch.allclose(one, other, atol=1e-3) for one, other in zip(mixed, plain, strict=True))
    learner.plain = False
    with learner.without(PART):
        learner.answer = lambda output, classes: zero.append(output.logits) or output.logits  # type: ignore[func-returns-value]
        zero: list[Tensor] = []
        learner.evaluate("validation", [0, 1, 2])
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(zero, whole[0], strict=True))


def test_the_most_used_experts_and_earlier_routers_stop_learning(learned: tuple[StreamTrainer, MoEAdapters]) -> None:
    trainer, method = learned
    frozen = {name: [e for e in range(6) if not part.down[e].requires_grad] for name, part in method.parts.items()}
    assert all(2 <= len(found) <= 4 for found in frozen.values())
    for name, part in method.parts.items():
        assert set(part.use.topk(2).indices.tolist()) <= set(frozen[name])
    before = {name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in method.parts.items()}
    trainer.sample_steps(2, 4)
    for name, part in method.parts.items():
        moved = {key for key, value in before[name].items() if not torch.equal(part.state_dict()[key], value)}
        assert not moved & {f"{kind}.{e}" for kind in ("down", "up", "down_bias", "up_bias") for e in frozen[name]}
        assert not moved & {f"{kind}.{task}" for kind in ("gates", "noises") for task in (0, 1)}
        assert moved & {f"up.{e}" for e in range(6)}
    dims = {name: part.down[0].shape[1] for name, part in method.parts.items()}
    count = sum(
        (6 - len(frozen[name])) * (2 * 8 * d + 8 + d) + 2 * 6 * (d if name.startswith("vision") else 1)
        for name, d in dims.items()
    )
    assert method.facts().trainable_parameters == count


def test_one_task_for_all_that_are_read_together_is_a_decision_by_batch() -> None:
    assert MoEAdaptersConfig(routing="batch").build().decision == "batch"
    assert MoEAdaptersConfig().build().decision == "sample"


def test_more_experts_than_there_are_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match="top is 3, and there are 2 experts; use at most as many"):
        validate(
            RunConfig, {"benchmark": "mini-mtil", "method": {"name": "moe-adapters", "experts": 2, "top": 3}}, where="test"
        )
