"""Carry out the runs of a source with Ray Tune: our searcher feeds them in, our scheduler stops them, our callback hears."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from suite.errors import SuiteError
from suite.runs.validation_view import ValidationView
from suite.tuning.cluster import ray_session
from suite.tuning.lost_workers import lost_workers_fail_their_trials
from suite.tuning.places import Places
from suite.tuning.run_queue import RunQueue, Suggestion
from suite.tuning.run_settings import FULL_DISK, RunSettings
from trainables.resources import Resources

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from suite.tuning.tune_plugins import Bridge


def run_all(source: RunQueue, run_settings: RunSettings) -> bool:
    """Run until the source is finished; Ctrl-C ends running trials after storing what they finished. True when it came to the end.

    As many go on at a time as fit on the nodes that are there at that time. A run that ran out of memory is carried once more, after all others, with a larger share.

    Raises:
        SuiteError: no Ray or a small one, a full disk, missing data, an undefined objective; what is finished is stored.
    """
    with _plain_disk_errors(), ray_session(run_settings.address, run_settings.resources):
        bridge = _fit(source, run_settings, run_settings.resources.larger())
        larger = run_settings.resources.larger()
        if bridge.too_large and larger is not None and bridge.halted is None and bridge.exhausted:
            if run_settings.on_retry:
                run_settings.on_retry(bridge.too_large, larger)
            again = replace(run_settings, resources=larger)
            with ray_session(run_settings.address, larger):
                bridge = _fit(_Again(source, bridge.too_large), again, None)
    if bridge.halted is not None:
        raise SuiteError(bridge.halted)
    return bridge.exhausted


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

    source: RunQueue
    runs: list[Suggestion]

    def suggest(self) -> Suggestion | Literal["finished", "wait"]:
        return self.runs.pop(0) if self.runs else self.source.suggest()

    def may_go_on(self, run: Suggestion, view: ValidationView) -> bool:
        return self.source.may_go_on(run, view)

    def ended(self, run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
        self.source.ended(run, view, reason)


def _fit(source: RunQueue, run_settings: RunSettings, larger: Resources | None) -> Bridge:
    from ray import tune

    from suite.tuning.tune_plugins import Bridge, Ears, QueueSearcher, TaskScheduler

    bridge = Bridge(source, run_settings, larger, Places(run_settings).most)
    with tempfile.TemporaryDirectory(prefix="codyra-tune-") as scratch:
        tuner = tune.Tuner(
            _trainable(run_settings),
            tune_config=tune.TuneConfig(
                search_alg=QueueSearcher(bridge),
                scheduler=TaskScheduler(bridge),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_plain_name,
                trial_dirname_creator=_plain_name,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[Ears(bridge)],
                failure_config=tune.FailureConfig(max_failures=0),  # Tune would not retry a worker that died while starting
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        with lost_workers_fail_their_trials():
            tuner.fit()
    return bridge


def _plain_name(trial: Trial) -> str:
    """Tune would put every setting of the run, names of tasks too, into the name of a folder."""
    return str(trial.trial_id)


def _trainable(run_settings: RunSettings) -> Any:
    from ray import tune

    if run_settings.uses_train():
        from trainables.train import WAITING_CPUS, WorkersTrainable

        return tune.with_resources(WorkersTrainable, {"cpu": WAITING_CPUS})
    from trainables.direct import StreamTrainable

    return tune.with_resources(StreamTrainable, {"cpu": run_settings.resources.cpus, "gpu": run_settings.resources.gpus})
