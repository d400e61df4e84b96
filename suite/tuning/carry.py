"""Carry out the runs of a source with Ray Tune: our searcher feeds them in, our scheduler stops them, our callback hears."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.tuning.objectives import ValidationView
from suite.tuning.ray_session import Resources, ray_session
from suite.tuning.source import RunSource

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

EndListener = Callable[[int, ValidationView | None, str | None], None]
RETRIES = 2  # a run whose worker died goes on from its last task this many times


@dataclass
class Carriage:
    """What every run of a command shares.

    Attributes:
        on_end: told after the source, in the driver: tracking, progress.
    """

    out: Path
    data_root: Path
    device: str = "auto"
    address: str | None = None
    resources: Resources = field(default_factory=Resources)
    concurrency: int | None = None
    on_end: EndListener | None = None
    on_row: Callable[[int, ValidationView], None] | None = None


def carry_out(source: RunSource, carriage: Carriage) -> None:
    """Run until the source is finished; Ctrl-C ends running trials after storing what they finished."""
    with ray_session(carriage.address, carriage.resources) as fitting:
        _fit(source, carriage, min(fitting, carriage.concurrency or fitting))


def _fit(source: RunSource, carriage: Carriage, at_a_time: int) -> None:
    from ray import tune

    from trainables.direct import StreamTrainable

    bridge = _bridge(source, carriage)
    resources = {"cpu": carriage.resources.cpus, "gpu": carriage.resources.gpus}
    with tempfile.TemporaryDirectory(prefix="codyra-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(StreamTrainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=bridge.searcher,
                scheduler=bridge.scheduler,
                num_samples=-1,
                max_concurrent_trials=at_a_time,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[bridge.callback],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        tuner.fit()


@dataclass(frozen=True)
class _Bridge:
    searcher: Any
    scheduler: Any
    callback: Any


def _bridge(source: RunSource, carriage: Carriage) -> _Bridge:
    """Ray's three plug-ins around one source; defined here so that nothing imports Ray before it is needed."""
    from ray.tune import Callback
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher

    numbers: dict[str, int] = {}
    views: dict[str, ValidationView] = {}
    closed: set[str] = set()

    def end(trial: Trial, reason: str | None, *, stopped: bool = False) -> None:
        number = numbers.get(trial.trial_id)
        if number is None or trial.trial_id in closed:
            return
        closed.add(trial.trial_id)
        view = views.get(trial.trial_id) if reason is None else None
        if stopped and view is not None:
            view = ValidationView.from_dict({**view.as_dict(), "status": "stopped"})
        source.ended(number, view, reason)
        if carriage.on_end:
            carriage.on_end(number, view, reason)

    class SourceSearcher(Searcher):
        def suggest(self, trial_id: str) -> Any:
            found = source.suggest()
            if found == "finished":
                return Searcher.FINISHED
            if isinstance(found, str):
                return None
            numbers[trial_id] = found.trial
            return {
                "run": found.config.resolved(),
                "out": str(carriage.out.resolve()),
                "data_root": str(carriage.data_root.resolve()),
                "device": carriage.device,
                "study": source.study,
                "trial": found.trial,
                "threads": carriage.resources.cpus,
            }

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """The callback hears of it with more to tell."""

        def save(self, checkpoint_path: str) -> None:
            """Nothing: a study lives in its own storage."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: see ``save``."""

    class TaskScheduler(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
            if "view" not in result:
                return str(TrialScheduler.CONTINUE)
            view = ValidationView.from_dict(result["view"])
            views[trial.trial_id] = view
            if view.status == "running" and not source.may_go_on(numbers[trial.trial_id], view):
                end(trial, None, stopped=True)
                return str(TrialScheduler.STOP)
            return str(TrialScheduler.CONTINUE)

    class Ears(Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Trial, result: dict[str, Any], **info: Any) -> None:
            if "view" in result and carriage.on_row:
                carriage.on_row(numbers[trial.trial_id], ValidationView.from_dict(result["view"]))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
            error = trial.last_result.get("error")
            if "view" in trial.last_result:
                views[trial.trial_id] = ValidationView.from_dict(trial.last_result["view"])
            view = views.get(trial.trial_id)
            interrupted = error is None and view is not None and view.status == "running"
            if not interrupted:
                end(trial, error)

        def on_trial_error(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
            end(trial, _last_line(trial))

    scheduler: Any = TaskScheduler
    return _Bridge(SourceSearcher(), scheduler(), Ears())


def _last_line(trial: Trial) -> str:
    """The last line of a crashed trial's traceback."""
    error = trial.get_error()
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "the worker died without a message"
