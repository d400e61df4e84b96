"""Carry out the runs of a source with Ray Tune: our searcher feeds them in, our scheduler stops them, our callback hears."""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite.errors import SuiteError
from suite.runs.mirror import RunMirror
from suite.runs.record import mark_ended
from suite.tuning.objectives import ValidationView, validation_view
from suite.tuning.ray_session import Resources, ray_session
from suite.tuning.source import RunSource, Suggestion, left_behind

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

EndListener = Callable[[Suggestion, ValidationView | None, str | None], None]
RETRIES = 2  # a run whose worker or node died is given out again this many times without a task finished in between
STARTS = 20  # the same for workers that died before they began: their node went, or the environment is broken
FULL_DISK = "the disk is full ({reason}); finished runs are stored: free space and add --resume."
MEMORY_SIGNS = ("OutOfMemoryError", "out of memory", "can't allocate memory", "MemoryError")


@dataclass
class Carriage:
    """What every run of a command shares.

    Attributes:
        carrier: ``auto`` takes Ray Train for several workers, else the direct one.
        storage: URI that run folders are mirrored to.
        selection: rule that the runs' records name for tables.
        on_record: told of every stored run before the source is, so that a driver killed in between does both again: tracking.
        on_end: told after the source: progress.
        on_retry: told of the runs that ran out of memory before they are run again, with the larger resources.
    """

    out: Path
    data_root: Path
    device: str = "auto"
    address: str | None = None
    resources: Resources = field(default_factory=Resources)
    concurrency: int | None = None
    on_record: Callable[[ValidationView], None] | None = None
    on_end: EndListener | None = None
    on_retry: Callable[[list[Suggestion], Resources], None] | None = None
    carrier: Literal["auto", "direct", "train"] = "auto"
    storage: str | None = None
    selection: str | None = None

    def uses_train(self) -> bool:
        return self.carrier == "train" or (self.carrier == "auto" and self.resources.workers > 1)


def carry_out(source: RunSource, carriage: Carriage) -> None:
    """Run until the source is finished; Ctrl-C ends running trials after storing what they finished.

    A run that ran out of memory is carried once more, after all others, with a larger share.

    Raises:
        SuiteError: no Ray or a small one, a full disk, missing data, an undefined objective; what is finished is stored.
    """
    with _plain_disk_errors(), ray_session(carriage.address, carriage.resources) as fitting:
        bridge = _fit(source, carriage, fitting, carriage.resources.larger())
        larger = carriage.resources.larger()
        if bridge.too_large and larger is not None and bridge.halted is None and not bridge.interrupted:
            if carriage.on_retry:
                carriage.on_retry(bridge.too_large, larger)
            again = replace(carriage, resources=larger)
            with ray_session(carriage.address, larger) as fitting:
                bridge = _fit(_Again(source, bridge.too_large, source.study), again, fitting, None)
    if bridge.halted is not None:
        raise SuiteError(bridge.halted)


@contextmanager
def _plain_disk_errors() -> Iterator[None]:
    """Turn the driver's own 'no space left' into an error that says what to do."""
    try:
        yield
    except SuiteError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if getattr(cause, "errno", None) == errno.ENOSPC or "disk is full" in str(cause):
                raise SuiteError(FULL_DISK.format(reason=str(cause).splitlines()[0])) from None
            cause = cause.__cause__ or cause.__context__
        raise


@dataclass
class _Again:
    """The runs that need more memory; everything else is the source's business."""

    source: RunSource
    runs: list[Suggestion]
    study: str | None

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        return self.runs.pop(0) if self.runs else self.source.suggest()

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        return self.source.may_go_on(run, view)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        self.source.ended(run, view, reason)


def _fit(source: RunSource, carriage: Carriage, fitting: int, larger: Resources | None) -> _Bridge:
    from ray import tune

    bridge = _bridge(source, carriage, larger)
    with tempfile.TemporaryDirectory(prefix="codyra-tune-") as scratch:
        tuner = tune.Tuner(
            _trainable(carriage),
            tune_config=tune.TuneConfig(
                search_alg=bridge.searcher,
                scheduler=bridge.scheduler,
                num_samples=-1,
                max_concurrent_trials=min(fitting, carriage.concurrency or fitting),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[bridge.callback],
                failure_config=tune.FailureConfig(max_failures=0),  # Tune would not retry a worker that died while starting
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        tuner.fit()
    return bridge


def _trainable(carriage: Carriage) -> Any:
    from ray import tune

    if carriage.uses_train():
        from trainables.train import WAITING_CPUS, WorkersTrainable

        return tune.with_resources(WorkersTrainable, {"cpu": WAITING_CPUS})
    from trainables.direct import StreamTrainable

    return tune.with_resources(StreamTrainable, {"cpu": carriage.resources.cpus, "gpu": carriage.resources.gpus})


@dataclass
class _Bridge:
    """Ray's three plug-ins around one source, and what they found out.

    Attributes:
        runs: Tune's trial id -> what was given out under it and is not over.
        again: runs to give out once more, because their worker died.
        deaths: (trial, part, had it begun) -> deaths since its last finished task.
        too_large: runs that ran out of memory and may be tried again.
        halted: why no run can go on; unfinished ones stay as they are, for ``--resume``.
        interrupted: by Ctrl-C, while runs were going on.
    """

    searcher: Any = None
    scheduler: Any = None
    callback: Any = None
    runs: dict[str, Suggestion] = field(default_factory=dict)
    again: list[Suggestion] = field(default_factory=list)
    deaths: Counter[tuple[int, int, bool]] = field(default_factory=Counter)
    too_large: list[Suggestion] = field(default_factory=list)
    halted: str | None = None
    interrupted: bool = False


def _bridge(source: RunSource, carriage: Carriage, larger: Resources | None) -> _Bridge:
    """The plug-ins; defined here so that nothing imports Ray before it is needed."""
    from ray.tune import Callback
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher

    bridge = _Bridge()
    views: dict[str, ValidationView] = {}

    @contextmanager
    def halting() -> Iterator[None]:
        """A mistake that no run can do anything about ends them all."""
        try:
            yield
        except SuiteError as error:
            bridge.halted = bridge.halted or str(error)

    def end(trial: Trial, reason: str | None, *, stopped: bool = False) -> None:
        run = bridge.runs.pop(trial.trial_id, None)
        if run is None:
            return
        if reason is not None and larger is not None and _ran_out_of_memory(reason):
            bridge.too_large.append(run)
            return
        view = views.get(trial.trial_id)
        if reason is not None and view is None:
            view = left_behind(carriage.out, run, source.study)
        with halting():
            if view is not None:
                folder = carriage.out / "runs" / view.run_id
                RunMirror(carriage.storage).pull(folder)
                if stopped or reason is not None:
                    view = validation_view(mark_ended(folder, "stopped" if stopped else "failed", reason))
                if carriage.on_record:
                    carriage.on_record(view)
            source.ended(run, view, reason)
            if carriage.on_end:
                carriage.on_end(run, view, reason)

    class SourceSearcher(Searcher):
        def suggest(self, trial_id: str) -> Any:
            found: Suggestion | Literal["finished", "wait"] = "finished"
            if not bridge.halted:
                with halting():
                    found = bridge.again.pop() if bridge.again else source.suggest()
            if isinstance(found, str):
                return None if bridge.runs else Searcher.FINISHED  # one that runs may come back, or others wait for it
            bridge.runs[trial_id] = found
            return _trial_settings(found, source.study, carriage)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """The callback hears of it with more to tell."""

        def save(self, checkpoint_path: str) -> None:
            """Nothing: a study lives in its own storage."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: see ``save``."""

    class TaskScheduler(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
            if bridge.halted:
                return str(TrialScheduler.STOP)
            if "view" not in result:
                return str(TrialScheduler.CONTINUE)
            view = ValidationView.from_text(result["view"])
            views[trial.trial_id] = view
            run = bridge.runs.get(trial.trial_id)
            if run is None:
                return str(TrialScheduler.STOP)
            for begun in (False, True):
                bridge.deaths.pop((run.trial, run.part, begun), None)
            with halting():
                if view.status == "running" and not source.may_go_on(run, view):
                    end(trial, None, stopped=True)
                    return str(TrialScheduler.STOP)
            return str(TrialScheduler.STOP if bridge.halted else TrialScheduler.CONTINUE)

    class Ears(Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
            error = trial.last_result.get("error")
            if trial.last_result.get("disk_full") or (trial.last_result.get("no_data") and source.study is not None):
                bridge.halted = FULL_DISK.format(reason=error) if trial.last_result.get("disk_full") else error
                bridge.runs.pop(trial.trial_id, None)  # neither ended nor lost: --resume goes on with it
                return
            if "view" in trial.last_result:
                views[trial.trial_id] = ValidationView.from_text(trial.last_result["view"])
            view = views.get(trial.trial_id)
            interrupted = error is None and view is not None and view.status == "running"
            if interrupted:
                bridge.interrupted |= bridge.runs.pop(trial.trial_id, None) is not None
            else:
                end(trial, error)

        def on_trial_error(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
            reason, run = _last_line(trial), bridge.runs.get(trial.trial_id)
            if run is None:
                return  # it was told to stop before its process went
            key = run.trial, run.part, reason is not None
            bridge.deaths[key] += 1
            said = reason or "the worker died before it could start"
            if _ran_out_of_memory(said) or bridge.deaths[key] > (RETRIES if reason else STARTS):
                end(trial, said)
            else:
                bridge.again.append(bridge.runs.pop(trial.trial_id))

    scheduler: Any = TaskScheduler
    bridge.searcher, bridge.scheduler, bridge.callback = SourceSearcher(), scheduler(), Ears()
    return bridge


def _trial_settings(run: Suggestion, study: str | None, carriage: Carriage) -> dict[str, Any]:
    """What a trial's process is told, as plain values."""
    return {
        "run": run.config.resolved(),
        "out": str(carriage.out.resolve()),
        "data_root": str(carriage.data_root.resolve()),
        "device": carriage.device,
        "study": study,
        "trial": run.trial,
        "selection": carriage.selection,
        "storage": carriage.storage,
        "resources": carriage.resources.model_dump(),
    }


def _ran_out_of_memory(reason: str) -> bool:
    return any(sign in reason for sign in MEMORY_SIGNS)


def _last_line(trial: Trial) -> str | None:
    """The last line of a crashed trial's traceback; None when it never began."""
    lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else None
