"""Wrappers: a method inside a method, as a config, as a name, and hook by hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from baselines.lora import Lora, LoraConfig
from baselines.replay import Replay
from suite.backbones.causal_lm import MiniLMConfig
from suite.backbones.learner import Batch, Output
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.config import RunConfig, apply_overrides, validate
from suite.errors import ConfigError
from suite.method_titles import innermost, method_title
from suite.randomness import RandomStreams
from suite.registry import METHODS
from suite.runs.identity import run_code
from suite.testing.methods import IMAGES, MethodConformance
from suite.tuning.study import point_config
from suite.tuning.study_config import StudyConfig
from trainables.method import Method, RunPass, Step, TaskContext
from trainables.run import RunContext, execute
from trainables.stream_trainer import StreamTrainer
from trainables.wrapper import Wrapper, WrapperConfig


def config(*settings: str) -> RunConfig:
    fields = {"benchmark": {"name": "mini-mtil"}, "method": {"name": "replay"}}
    return validate(RunConfig, apply_overrides(fields, settings), where="config")


class TestOverOtherMethods(MethodConformance):
    methods = ({"name": "replay", "inner": {"name": "codyra", "rank": 8, "kappa_levels": 2}},)
    streams = (IMAGES,)


@pytest.mark.slow
class TestOverWrappers(MethodConformance):
    methods = (
        {"name": "replay", "inner": {"name": "replay", "inner": {"name": "lora", "between": "carry"}}},
        {"name": "replay", "inner": "sdlora"},
        {"name": "replay", "inner": "loda"},
        {"name": "replay", "inner": "finetune"},
    )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("method.inner.rank=0", "method.inner.rank: input should be greater than or equal to 1 (is 0)"),
        ("method.inner.rnk=1", "method.inner.rnk: unknown key; allowed are alpha, between, .* (nearest: 'rank')"),
        ("method.inner=loraa", "method.inner.name: 'loraa' is not a method; .* (nearest: 'lora')"),
        ("method.inner=3", "method.inner: 3 is neither a name nor a mapping"),
        ("method.inner={name: replay, inner: {name: loda, gama: 1}}", "method.inner.inner.gama: unknown key; .* (nearest: 'gamma')"),
        ("method.inner={name: replay, inner: loraa}", "method.inner.inner.name: 'loraa' is not a method"),
        ("method.rank=4", "method.rank: unknown key; allowed are inner, "),
    ],
)  # fmt: skip
def test_mistakes_inside_are_named_with_their_whole_path(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(").replace(")", r"\)").replace(": {", r": \{")):
        config(setting)


def test_fields_without_a_name_are_those_of_the_usual_method() -> None:
    assert config("method.inner.rank=4").method == config("method.inner={name: lora, rank: 4}").method
    assert config("method.inner=lora") == config()
    again = validate(RunConfig, config("method.inner=codyra").resolved(), where="again")
    assert again == config("method.inner=codyra")


def test_the_code_of_the_method_inside_is_part_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("suite.runs.identity.code_hash", lambda modules: asked.append(modules) or "")
    run_code(config("method.inner={name: replay, inner: codyra}"))
    assert {"baselines.replay", "trainables.codyra"} < set(asked[0])


def test_titles_name_what_is_inside() -> None:
    assert method_title(config().resolved()["method"]) == "replay"
    nested = config("method.inner={name: replay, inner: {name: codyra, rank: 3}}").resolved()["method"]
    assert method_title(nested) == "replay + replay + codyra"
    assert innermost(nested)["rank"] == 3


@pytest.mark.parametrize("inner", ["codyra", {"name": "codyra", "kappa_max": 0.01}, {"rank": 3}])
def test_a_space_reaches_the_method_inside(inner: Any) -> None:
    study = validate(
        StudyConfig,
        {
            "name": "s",
            "run": {"benchmark": "mini-mtil", "method": {"name": "replay", "inner": inner}},
            "space": "replay",
            "objectives": ["zscl.last", "effective_rank"],
        },
        where="study",
    )
    found = point_config(study, {"method.inner.rank": 5, "method.inner.placement": "vision:qkvo", "method.weight": 2.0})
    assert found.resolved()["method"]["weight"] == 2.0
    kept = found.resolved()["method"]["inner"]
    assert (kept["rank"], kept["placement"]) == (5, "vision:qkvo")
    assert kept["name"] == ("lora" if inner == {"rank": 3} else "codyra")
    assert kept.get("kappa_max", 0.01) == (0.01 if isinstance(inner, dict) else 0.005)


def test_a_record_carries_both_names(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    record = execute(make_config("replay", inner={"name": "inflora", "rank": 2}, memory_size=9), run_context)
    assert record.method == "replay + inflora"
    assert record.results[-1].effective_rank
    assert record.results[-1].costs.carried_bytes > 9 * 16


class TwoPassesConfig(LoraConfig):
    """A LoRA that looks at its batch twice and has a batch and a term of its own."""

    def build(self) -> TwoPasses:
        return TwoPasses(self)


class TwoPasses(Lora):
    jumps = "it is asked to"
    capturable = False

    def __init__(self, config: LoraConfig) -> None:
        super().__init__(config)
        self.decision: Literal["sample", "batch"] = "batch"
        self.seen: list[tuple[int, int]] = []

    def extra_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        return [current.part(torch.arange(2))]

    def backward(self, batches: list[Batch], run: RunPass) -> Tensor:
        assert [len(batch) for batch in batches] == [8, 2]
        return (run(batches) + run([batches[0].part(torch.arange(4)), batches[1]])) / 2

    def loss(self, step: Step) -> Tensor:
        self.seen.append((len(step.batches), len(step.outputs)))
        return step.outputs[0].loss + step.outputs[1].loss

    def after_step(self, step: Step) -> None:
        assert len(step.batches) == len(step.outputs) == 2

    after_backward = after_step


class AroundConfig(WrapperConfig):
    name: str = "around"

    def build(self) -> Around:
        return Around(self)


class Around(Wrapper):
    capturable = True

    def __init__(self, config: WrapperConfig) -> None:
        super().__init__(config)
        self.rows: list[int] = []

    def own_batches(self, context: TaskContext, current: Batch) -> list[Batch]:
        return [current.part(torch.arange(3))]

    def term(self, step: Step, own: Sequence[tuple[Batch, Output]]) -> Tensor | None:
        self.rows += [len(batch) for batch, _ in own]
        return own[0][1].loss


def test_the_method_inside_sees_its_own_batches_alone(make_trainer: Callable[..., StreamTrainer]) -> None:
    trainer = make_trainer(AroundConfig(inner=TwoPassesConfig(rank=2)))
    method = trainer.method
    assert isinstance(method, Around)
    inner = method.inner
    assert isinstance(inner, TwoPasses)
    assert (method.decision, method.jumps, method.capturable) == ("batch", "it is asked to", False)
    trainer.sample_steps(0, 2)
    assert inner.seen == [(2, 2)] * 4  # two passes in each of two steps
    assert method.rows == [3] * 4  # and the wrapper's batch in every one of them


def test_every_hook_is_handed_on() -> None:
    """Also one that is added to methods later; what a wrapper does itself is to change weights and to say what it is."""
    hooks = {name for name, value in vars(Method).items() if callable(value) and not name.startswith("_")}
    assert hooks - set(vars(Wrapper)) == {"add", "merge", "traits"}


def test_a_method_that_needs_the_host_on_texts_takes_its_wrapper_along() -> None:
    learner = MiniLMConfig().build(MiniTraceConfig(tasks=("FOMC",)).build(Path()), torch.device("cpu"))
    method = METHODS["replay"].model_validate({"name": "replay", "inner": "lwf"}).build()
    assert method.capturable
    method.attach(learner, RandomStreams(0))
    assert not method.capturable


def test_what_the_method_inside_cannot_serve_its_wrapper_cannot_either() -> None:
    class OnTexts(Lora):
        needs = frozenset({"lm"})

    class OnTextsConfig(LoraConfig):
        def build(self) -> Method:
            return OnTexts(self)

    class OnPictures(Wrapper):
        kinds = frozenset({"clip", "references"})

    assert OnPictures(AroundConfig()).needs == {"clip", "references"}
    with pytest.raises(ConfigError, match="'around' and its inner method 'lora' serve no backbone together"):
        OnPictures(AroundConfig(inner=OnTextsConfig()))


def test_state_of_both_comes_back(make_trainer: Callable[..., StreamTrainer], tmp_path: Path) -> None:
    def built() -> StreamTrainer:
        return make_trainer(METHODS["replay"].model_validate({"name": "replay", "memory_size": 5, "inner": {"name": "olora"}}))

    first, second = built(), built()
    next(first.rows(0))
    state: dict[str, Any] = first.method.state()
    assert {"memory", "seen"} < set(state)
    assert any(key.startswith("inner/past/") for key in state)
    second.method.load_state(state)
    assert isinstance(second.method, Replay)
    assert all(torch.equal(value, second.method.state()[key]) for key, value in state.items())
