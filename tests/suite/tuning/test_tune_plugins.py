"""What Ray's plug-ins make of events, without a Ray: waiting, halting, the order in which others are told."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle

from suite.config import validate
from suite.errors import SuiteError
from suite.runs.validation_view import ValidationView
from suite.tuning.run_settings import RunSettings
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_plugins import Bridge, Ears, QueueSearcher, TaskScheduler
from trainables.resources import Resources

RUN = {"benchmark": {"name": "mini-mtil", "domains": ["shapes", "faces", "digits"]}}
TASKS = ("a", "b", "c")


def study(folder: Path, **fields: Any) -> StudyQueue:
    base = {"name": "s", "run": RUN, "space": "codyra-quick", "budget": {"trials": 2}}
    return StudyQueue(validate(StudyConfig, {**base, **fields}, where="sweep.yaml"), folder)


def view(rows: list[list[float | None]], status: str = "running", tasks: tuple[str, ...] = TASKS) -> ValidationView:
    return ValidationView("r", status, None, tasks, rows, 10, 4.0, 0, 1.0, 5)


def event(name: str, found: ValidationView | None = None, **result: Any) -> Any:
    """A trial of Tune with its last result, as far as the plug-ins look."""
    if found is not None:
        result["view"] = found.as_text()
    return SimpleNamespace(trial_id=name, last_result=result)


def carried(source: StudyQueue, out: Path, *names: str, larger: Resources | None = None, **hooks: Any) -> Bridge:
    bridge = Bridge(source, RunSettings(out, out, **hooks), larger, lambda: 100)
    for name in names:
        assert isinstance(QueueSearcher(bridge).suggest(name), dict)
    return bridge


def decision(bridge: Bridge, trial: Any) -> str:
    return str(TaskScheduler(bridge).on_trial_result(None, trial, trial.last_result))


def test_nobody_waits_for_a_seed_that_needs_more_memory(tmp_path: Path) -> None:
    """Its trial is open but not running: the round ends, and the next one carries it with a larger share."""
    bridge = carried(study(tmp_path, seeds=[0, 1], budget={"trials": 1}), tmp_path, "one", larger=Resources(memory_gib=2))
    Ears(bridge).on_trial_complete(0, [], event("one", error="out of memory: 1 GiB"))
    assert [run.seed_index for run in bridge.too_large] == [0]
    assert QueueSearcher(bridge).suggest("two") == "FINISHED"


def test_the_next_seed_is_waited_for(tmp_path: Path) -> None:
    bridge = carried(study(tmp_path, seeds=[0, 1], budget={"trials": 1}), tmp_path, "one")
    assert QueueSearcher(bridge).suggest("two") is None


def test_records_are_tracked_before_their_trial_is_told(tmp_path: Path) -> None:
    """A driver killed between the two gives the trial out again on --resume and tracks its record then."""
    source = study(tmp_path)
    told: list[str] = []
    bridge = carried(source, tmp_path, "one", on_record=lambda *_: told.append(source.store.trials()[0].state.name))
    Ears(bridge).on_trial_complete(0, [], event("one", view([[50.0] * 3] * 4, "finished")))
    assert told == ["RUNNING"]
    assert source.store.trials()[0].state.name == "COMPLETE"


@pytest.mark.parametrize(
    ("objective", "tasks", "rows"),
    [
        ("codyra.forgetting", ("a",), [[50.0]]),
        ("zscl.transfer", TASKS, [[50.0] * 3, [80.0, None, None]]),
    ],
    ids=["too few tasks", "cells that a protocol leaves out"],
)
@pytest.mark.parametrize("place", ["objectives", "constraints"])
def test_an_undefined_metric_ends_a_sweep_before_much_is_trained(
    objective: str, tasks: tuple[str, ...], rows: list[list[float | None]], place: str, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"objectives": [objective]} if place == "objectives" else {"constraints": {objective: {"most": 1}}}
    bridge = carried(study(tmp_path, **fields), tmp_path, "one")
    assert decision(bridge, event("one", view(rows, tasks=tasks))) == "STOP"
    assert bridge.halted is not None and "\n" not in bridge.halted
    assert QueueSearcher(bridge).suggest("two") is None
    Ears(bridge).on_trial_complete(0, [], event("one", view(rows, tasks=tasks)))
    assert QueueSearcher(bridge).suggest("two") == "FINISHED"


def test_defined_metrics_go_on(tmp_path: Path) -> None:
    bridge = carried(study(tmp_path, objectives=["zscl.last", "gem.bwt"]), tmp_path, "one")
    untouched: list[float | None] = [50.0] * 3
    for rows in ([untouched], [untouched, [80.0, None, None]]):
        assert decision(bridge, event("one", view(rows))) == "CONTINUE"
    masking = carried(study(tmp_path / "masking", objectives=["codyra.transfer"]), tmp_path, "one")
    assert decision(masking, event("one", view([untouched, [80.0, 60.0, 60.0]]))) == "CONTINUE"


def test_a_run_that_is_found_finished_is_asked_too(tmp_path: Path) -> None:
    """It reports nothing on the way, and each such trial would fail by itself."""
    source = study(tmp_path, objectives=["zscl.transfer"])
    bridge = carried(source, tmp_path, "one")
    Ears(bridge).on_trial_complete(0, [], event("one", view([[50.0], [90.0]], "finished", tasks=("a",))))
    assert bridge.halted is not None and bridge.halted.startswith("zscl.transfer: the stream has 1 task, but")
    assert source.store.running() == [0]


def test_a_trial_whose_scores_leave_an_objective_undefined_fails_alone(tmp_path: Path) -> None:
    source = study(tmp_path, objectives=["codyra.transfer"])
    bridge = carried(source, tmp_path, "one")
    masked: list[list[float | None]] = [[50.0] * 3, [80.0, 0.0, 0.0], [80.0, 80.0, 0.0], [80.0] * 3]
    Ears(bridge).on_trial_complete(0, [], event("one", view(masked, "finished")))
    (trial,) = source.store.trials()
    assert bridge.halted is None and trial.state.name == "FAIL"
    assert trial.user_attrs["reason"].startswith("codyra.transfer: every cell above the diagonal is 0")


def test_missing_data_ends_a_study_and_spends_none_of_its_trials(tmp_path: Path) -> None:
    source = study(tmp_path)
    bridge = carried(source, tmp_path, "one")
    Ears(bridge).on_trial_complete(0, [], event("one", error="data xtail: 14 files are missing.", no_data=True))
    assert bridge.halted == "data xtail: 14 files are missing."
    assert QueueSearcher(bridge).suggest("two") == "FINISHED"
    assert [trial.state.name for trial in source.store.trials()] == ["RUNNING"]


def test_a_tracker_that_refuses_ends_a_sweep_in_its_own_words(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise SuiteError("tracking 'x': no permission to write.")

    source = study(tmp_path)
    bridge = carried(source, tmp_path, "one", on_record=refuse)
    Ears(bridge).on_trial_complete(0, [], event("one", view([[50.0] * 3] * 4, "finished")))
    assert bridge.halted == "tracking 'x': no permission to write."
    assert source.store.running() == [0]


def test_what_tune_pickles_holds_nothing_of_the_driver(tmp_path: Path) -> None:
    """A progress bar on a terminal holds a lock; every Ray command once crashed on it, only where somebody watched."""
    lock = RLock()
    bridge = carried(study(tmp_path), tmp_path, on_record=lambda *_: lock.release(), on_end=lambda *_: lock.release())
    for plugin in (QueueSearcher(bridge), TaskScheduler(bridge), Ears(bridge)):
        copy = cloudpickle.loads(cloudpickle.dumps(plugin))
        assert copy.bridge is None
        assert plugin.bridge is bridge


def test_no_more_runs_are_given_out_than_there_are_places(tmp_path: Path) -> None:
    """Nodes join and leave: what counts is how many places there are at that moment."""
    bridge = carried(study(tmp_path, budget={"trials": 9}), tmp_path)
    given = []
    for places in (1, 1, 3, 3, 2):
        bridge.most = lambda places=places: places  # type: ignore[misc]
        given.append(QueueSearcher(bridge).suggest(f"{len(given)}") is not None)
    assert given == [True, False, True, True, False]


# What Ray 2.60 said of trials whose node got SIGTERM, and SIGKILL before anybody had noticed; and of a worker that was killed alone.
LEFT = "The actor died because its node has died. Node Id: 33fa\n\tthe actor's node was preempted: Node received SIGTERM; draining before shutdown."
GONE = "The actor 0aa2 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed rpc_code: 14."
KILLED = "The actor died unexpectedly before finishing this task.\nThe actor is dead because its worker process has died."


@pytest.mark.parametrize(("said", "retries"), [(LEFT, 20), (GONE, 20), (KILLED, 2)])
def test_a_run_is_not_blamed_for_nodes_that_leave(said: str, retries: int, tmp_path: Path) -> None:
    error = tmp_path / "error.txt"
    error.write_text(f"Failure # 1 (occurred at 2026-11-29_18-31-37)\n{said}\n")
    bridge = carried(study(tmp_path / "study", budget={"trials": 1}), tmp_path, "0")
    deaths = 0
    while bridge.runs:
        Ears(bridge).on_trial_error(0, [], SimpleNamespace(trial_id=str(deaths), error_file=str(error)))
        deaths += 1
        QueueSearcher(bridge).suggest(str(deaths))
    assert deaths == retries + 1
