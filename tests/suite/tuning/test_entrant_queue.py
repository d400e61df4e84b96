"""The queue of one method of a tuning: how its judging runs are called and counted."""

from __future__ import annotations

from pathlib import Path

from suite.tuning.entrant_queue import EntrantQueue
from suite.tuning.run_queue import Suggestion
from suite.tuning.tuning_folder import TuningFolder
from suite.workflows.tune_files import tune_config


def test_judging_runs_are_told_apart_and_count_once_they_have_ended(tmp_path: Path) -> None:
    benchmark = {"name": "mini-mtil", "domains": ["shapes"], "shots": 4}
    fields = {
        "name": "t",
        "benchmarks": [benchmark],
        "methods": ["zero-shot"],
        "budget": {"trials": 1},
        "judge": {"seeds": [1, 2]},
    }
    config = tune_config(fields)
    (entrant,) = config.entrants
    queue = EntrantQueue(entrant, None, TuningFolder(tmp_path, "t"), config.judge.seeds)
    runs = [run for run in (queue.suggest(), queue.suggest()) if isinstance(run, Suggestion)]
    assert [queue.title(run) for run in runs] == [f"mini-mtil zero-shot · default setting · seed {n} · judging" for n in (1, 2)]
    assert queue.suggest() == "finished"
    assert queue.runs_ended() == 0
    queue.ended(runs[0], None, "lost")
    assert queue.runs_ended() == 1
