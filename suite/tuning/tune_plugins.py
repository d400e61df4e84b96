"""What Ray Tune is handed: a searcher, a scheduler and a callback around one source of runs.

Tune pickles all three, so they must hold nothing of the driver. They share a ``Bridge``, which holds all of it and stays here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from suite.errors import SuiteError
from suite.runs.mirror import RunMirror
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView, validation_view
from suite.tuning.run_queue import RunQueue, Suggestion, left_behind
from suite.tuning.run_settings import FULL_DISK, RunSettings
from trainables.crashes import ran_out_of_memory, read_crash
from trainables.resources import Resources

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

RETRIES = 2  # a run whose worker died is given out again this many times without a task finished in between
# The same where a run has most likely no part in it: its node went, as spot machines do, or the worker died before it began.
BLAMELESS_RETRIES = 20
# In Ray's words; the last one is what it says before it has noticed that a machine went without a word.
NODE_LEFT = ("its node has died", "the node it was running on is dead", "actor is temporarily unavailable")


class Bridge:
    """What the three plug-ins share, and what they found out. It never leaves the driver's process.

    Attributes:
        most: how many runs may be out now.
        larger: what a run that ran out of memory gets in the next round; None when there is none.
        runs: Tune's trial id -> what was given out under it and is not over.
        again: runs to give out once more, because their worker died.
        deaths: (a run's key, may it have a part in it) -> deaths since its last finished task.
        views: Tune's trial id -> the last thing heard of its run.
        too_large: runs that ran out of memory and may be tried again.
        halted: why no run can go on; unfinished ones stay as they are, for ``--resume``.
        exhausted: the source had nothing more and no run was going on; False at the end means that Ctrl-C came before.
    """

    def __init__(self, source: RunQueue, run_settings: RunSettings, larger: Resources | None, most: Callable[[], int]) -> None:
        self.source = source
        self.run_settings = run_settings
        self.most = most
        self.larger = larger
        self.runs: dict[str, Suggestion] = {}
        self.again: list[Suggestion] = []
        self.deaths: Counter[tuple[object, bool]] = Counter()
        self.views: dict[str, ValidationView] = {}
        self.too_large: list[Suggestion] = []
        self.halted: str | None = None
        self.exhausted = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with a plug-in, it is left out: it holds the driver's terminal, its tracker and open files."""
        return type(None), ()

    @contextmanager
    def halting(self) -> Iterator[None]:
        """A mistake that no run can do anything about ends them all."""
        try:
            yield
        except SuiteError as error:
            self.halted = self.halted or str(error)

    def end(self, trial: Trial, reason: str | None, *, stopped: bool = False) -> None:
        """Tell mirror, record, tracker, source and progress, in this order, how the run of ``trial`` ended."""
        run = self.runs.pop(trial.trial_id, None)
        if run is None:
            return
        if reason is not None and self.larger is not None and ran_out_of_memory(reason):
            self.too_large.append(run)
            return
        run_settings, view = self.run_settings, self.views.get(trial.trial_id)
        if reason is not None and view is None:
            view = left_behind(RunStore(run_settings.out), run_settings.attempt(run))
        with self.halting():
            if view is not None:
                store = RunStore(run_settings.out)
                RunMirror(run_settings.storage).pull(store.folder(view.run_id))
                if stopped or reason is not None:
                    view = validation_view(store.mark(view.run_id, "stopped" if stopped else "failed", reason))
                if run_settings.on_record:
                    run_settings.on_record(run, view)
            self.source.ended(run, view, reason)
            if run_settings.on_end:
                run_settings.on_end(run, view, reason)


class QueueSearcher(Searcher):
    """Gives out what the source suggests while there are places, and first of all what a dead worker left."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.bridge = bridge

    def suggest(self, trial_id: str) -> Any:
        bridge = self.bridge
        found: Suggestion | Literal["finished", "wait"] = "finished"
        if not bridge.halted:
            if len(bridge.runs) >= bridge.most():
                return None
            with bridge.halting():
                found = bridge.again.pop() if bridge.again else bridge.source.suggest()
        if isinstance(found, str):
            bridge.exhausted = not bridge.runs  # one that runs may come back, or others wait for it
            return Searcher.FINISHED if bridge.exhausted else None
        bridge.runs[trial_id] = found
        return _trial_settings(found, bridge.run_settings)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The callback hears of it with more to tell."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study lives in its own storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see ``save``."""


class TaskScheduler(FIFOScheduler):
    """Asks the source after every task whether a run may go on."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        bridge = self.bridge
        if bridge.halted:
            return str(TrialScheduler.STOP)
        if "view" not in result:
            return str(TrialScheduler.CONTINUE)
        view = ValidationView.from_text(result["view"])
        bridge.views[trial.trial_id] = view
        run = bridge.runs.get(trial.trial_id)
        if run is None:
            return str(TrialScheduler.STOP)
        for has_part in (False, True):
            bridge.deaths.pop((run.key, has_part), None)
        with bridge.halting():
            if view.status == "running" and not bridge.source.may_go_on(run, view):
                bridge.end(trial, None, stopped=True)
                return str(TrialScheduler.STOP)
        return str(TrialScheduler.STOP if bridge.halted else TrialScheduler.CONTINUE)


class Ears(Callback):
    """Hears how trials ended."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge

    def on_trial_complete(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
        bridge, error = self.bridge, trial.last_result.get("error")
        run = bridge.runs.get(trial.trial_id)
        no_data = trial.last_result.get("no_data") and run is not None and run.study is not None
        if trial.last_result.get("disk_full") or no_data:
            bridge.halted = FULL_DISK.format(reason=error) if trial.last_result.get("disk_full") else error
            bridge.runs.pop(trial.trial_id, None)  # neither ended nor lost: --resume goes on with it
            return
        if "view" in trial.last_result:
            bridge.views[trial.trial_id] = ValidationView.from_text(trial.last_result["view"])
        view = bridge.views.get(trial.trial_id)
        if error is None and view is not None and view.status == "running":
            bridge.runs.pop(trial.trial_id, None)  # told to stop because all are
        else:
            bridge.end(trial, error)

    def on_trial_error(self, iteration: int, trials: Any, trial: Trial, **info: Any) -> None:
        bridge, text = self.bridge, _error_text(trial)
        crash = read_crash(text)
        run = bridge.runs.get(trial.trial_id)
        if run is None:
            return  # it was told to stop before its process went
        has_part = crash.began and not any(sign in text for sign in NODE_LEFT)
        key = run.key, has_part
        bridge.deaths[key] += 1
        if crash.is_bug or crash.is_memory or bridge.deaths[key] > (RETRIES if has_part else BLAMELESS_RETRIES):
            bridge.end(trial, crash.reason)
        else:
            bridge.again.append(bridge.runs.pop(trial.trial_id))
            if bridge.run_settings.say:
                bridge.run_settings.say(f"{_named(run)}: its process or its node died; it goes on from its last finished task.")


def _named(run: Suggestion) -> str:
    trial = f"study '{run.study}' trial {run.trial}, " if run.study else ""
    return f"{trial}{run.config.benchmark.name} {run.config.method.name} seed {run.config.seed}"


def _trial_settings(run: Suggestion, run_settings: RunSettings) -> dict[str, Any]:
    """What a trial's process is told, as plain values."""
    return {
        "run": run.config.resolved(),
        "out": str(run_settings.out.resolve()),
        "data_root": str(run_settings.data_root.resolve()),
        "device": run_settings.device,
        "study": run.study,
        "trial": run.trial,
        "attempt": run_settings.attempt(run),
        "selection": run_settings.selection,
        "storage": run_settings.storage,
        "sharing": run_settings.sharing,
        "resources": run_settings.resources.model_dump(),
    }


def _error_text(trial: Trial) -> str:
    """What Tune wrote of the trial's end; ``trial.get_error()`` looks where it is copied to later."""
    file = Path(trial.error_file or "")
    return file.read_text(errors="replace") if file.is_file() else ""
