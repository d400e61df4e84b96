"""A study on a terminal: its best trials, and how the others ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from suite.cli.json_output import print_json
from suite.cli.tables import Column, Sheet, print_line, print_sheet
from suite.counting import counted
from suite.tuning.hypervolume import history
from suite.tuning.objectives import Objective
from suite.tuning.study_result import Study
from suite.tuning.trials import DUPLICATE
from suite.workflows.sweeping import SweepInterrupted

SHOWN_REASONS = 3
WORDS = {"COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


@contextmanager
def printed_when_interrupted(*, as_json: bool) -> Iterator[None]:
    """After Ctrl-C inside, show what was finished before the command ends."""
    try:
        yield
    except SweepInterrupted as end:
        show_study(end.study, as_json=as_json)
        raise


def show_study(study: Study, *, as_json: bool) -> None:
    """The study as ``print_front`` prints it, or as JSON."""
    if as_json:
        print_json(study_fields(study))
    else:
        print_front(study)


def print_front(study: Study) -> None:
    """Best trials (the Pareto front with several objectives) with their settings, and how the others ended."""
    trials = study.trials
    names = [name.replace(".", "\n", 1) for name in study.config.objectives]
    rows = []
    for number in study.front:
        values = [f"{value:.4g}" for value in trials[number].values]
        settings = ", ".join(f"{key} {_short(value)}" for key, value in trials[number].params.items())
        rows.append([str(number), *values, settings])
    columns = [Column("trial"), *(Column(name) for name in names), Column("settings", wraps=True)]
    print_sheet(Sheet(f"study {study.config.name}: best trials by validation", columns, rows))
    own = [trial for trial in trials if DUPLICATE not in trial.user_attrs]
    complete = [trial.values for trial in own if trial.state.name == "COMPLETE"]
    if len(names) > 1 and len(complete) > 1:
        grown = history(complete, [Objective(name).maximize for name in study.config.objectives])
        shares = ", ".join(
            f"{grown[len(grown) * part // 4 - 1]:.0%} after {len(grown) * part // 4}"
            for part in (1, 2, 3)
            if len(grown) * part // 4
        )
        print_line(f"hypervolume of the front, as a share of what {counted(len(grown), 'finished trial')} reached: {shares}")
    for reason, count in Counter(trial.user_attrs["reason"] for trial in own if trial.state.name == "FAIL").most_common(
        SHOWN_REASONS
    ):
        print_line(f"failed ({count}): {reason}")
    counts = Counter(str(trial.state.name) for trial in own)
    repeats = f" ({counted(len(trials) - len(own), 'repetition')} of them)" if len(trials) > len(own) else ""
    print_line(f"trials: {in_words(counts)}{repeats}")
    if counts["RUNNING"]:
        print_line("running are those that were interrupted; --resume goes on with them from their last finished task")


def in_words(counts: Mapping[str, int]) -> str:
    """How many trials are in each of Optuna's states, in the words that runs have: ``7 finished, 2 stopped``."""
    return ", ".join(f"{counts[state]} {word}" for state, word in WORDS.items() if counts.get(state))


def study_fields(study: Study) -> dict[str, Any]:
    """A study for ``--json``: its config, every trial, the numbers of the best ones."""
    columns = study.columns()
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {"config": study.config, "front": study.front, "rows": rows}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
