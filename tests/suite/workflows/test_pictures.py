"""Pictures of a study for a tracker: what its trials allow, and nothing that stops a sweep at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from suite.config import RunConfig
from suite.runs.record import write_record
from suite.tracking.delivery import Delivery
from suite.tracking.tracker import RunFolders, Target
from suite.tuning.study_result import Study
from suite.workflows.importance import importances
from suite.workflows.pictures import attach_run_pictures, attach_study
from trainables.run import RunContext, execute


class Shelf(RunFolders):
    """A tracker that remembers the files it was given."""

    takes_files = True

    def __init__(self, out: Path, *, dies: bool = False) -> None:
        super().__init__("none", out)
        self.files: dict[Target, list[Path]] = {}
        self.dies = dies

    def holds(self, target: Target, files: Sequence[Path], place: str) -> bool:
        return {*files} == {*self.files.get(target, [])}

    def attach(self, target: Target, files: Sequence[Path], place: str) -> bool:
        if self.dies:
            raise KeyboardInterrupt
        self.files[target] = [*files]
        return True


def attached(names: list[str], out: Path) -> set[str]:
    """Names of the pictures of a study whose one trial has these runs."""
    trials = [optuna.trial.create_trial(value=1.0, user_attrs={"run_id": ",".join(names)})]
    shelf = Shelf(out)
    config = SimpleNamespace(name="night", objectives=["zscl.last"], space="lora", sampler="tpe", selection="two-phase")
    attach_study(Delivery(shelf), Study(config, trials, []), out)  # type: ignore[arg-type]
    return {path.name for path in shelf.files[Target("study", "night")]}


def test_a_study_that_varied_nothing_has_no_slices(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    """The same trial before and after the code was changed; then one with another seed."""
    record = execute(make_config("zero-shot"), replace(run_context, study="night", trial=0))
    out = run_context.out
    write_record(record.model_copy(update={"run_id": "other", "code_version": "other"}), out / "runs" / "other")
    assert attached([record.run_id, "other"], out) == {"history.svg", "history.png"}
    for code in ("third", "fourth"):  # four trials would allow importance, had anything varied
        write_record(record.model_copy(update={"run_id": code, "code_version": code}), out / "runs" / code)
    assert attached([record.run_id, "other", "third", "fourth"], out) == {"history.svg", "history.png"}
    seeded = record.model_copy(update={"run_id": "seeded", "config": {**record.config, "seed": 7}})
    write_record(seeded, out / "runs" / "seeded")
    assert {"slices.svg", "slices.png"} < attached([record.run_id, "seeded"], out)


def test_importance_needs_trials_that_varied(make_config: Callable[..., RunConfig], run_context: RunContext) -> None:
    record = execute(make_config("zero-shot"), run_context).model_copy(update={"study": "night"})
    assert importances([record] * 4) == {}
    several = [record.model_copy(update={"config": {**record.config, "seed": seed}}) for seed in range(4)]
    assert set(importances(several)) == {"night"}
    assert importances(several[:3]) == {}


def test_a_picture_that_was_drawn_and_never_attached_is(
    make_config: Callable[..., RunConfig], run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver dies between drawing and attaching; the next command attaches, the one after it draws nothing again."""
    record, names = execute(make_config("zero-shot"), run_context), {"accuracy_matrix.svg", "accuracy_matrix.png"}
    with pytest.raises(KeyboardInterrupt):
        attach_run_pictures(Delivery(Shelf(run_context.out, dies=True)), [record], run_context.out)
    assert {path.name for path in (run_context.out / "figures" / record.run_id).iterdir()} == names
    shelf = Shelf(run_context.out)
    delivery = Delivery(shelf)
    attach_run_pictures(delivery, [record], run_context.out)
    assert {path.name for path in shelf.files[Target("run", record.run_id)]} == names
    monkeypatch.setattr("suite.workflows.pictures.save_figure", lambda *_: pytest.fail("drawn again"))
    attach_run_pictures(delivery, [record], run_context.out)
