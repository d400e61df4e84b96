"""What optuna-dashboard says of a study beside its trials: short attributes, and a note with the chosen trial and the best ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.runs.store import RunStore
from suite.tuning.study import StudyQueue
from suite.tuning.study_config import StudyConfig
from suite.tuning.study_result import study_of


def note_study(source: StudyQueue, out: Path, *, is_over: bool = False) -> None:
    """Bring attributes and note of the study to where it stands.

    Args:
        is_over: nothing is searched any more, so that test numbers of the chosen trial may be shown.
    """
    from suite.leaderboard.study_words import study_text

    study = study_of(source)
    names = [name for trial in study.trials for name in str(trial.user_attrs.get("run_id", "")).split(",")]
    source.store.say(_attributes(source.config), study_text(study, RunStore(out).records(names), is_over=is_over))


def _attributes(config: StudyConfig) -> dict[str, Any]:
    run = config.run
    benchmark = run.get("benchmark", "")
    spaces = [config.space] if isinstance(config.space, str) else list(config.space)
    return {
        "benchmark": benchmark.get("name", "") if isinstance(benchmark, dict) else str(benchmark),
        "spaces": ", ".join(spaces),
        "objectives": ", ".join(config.objectives),
        "selection": config.selection,
        "seeds": ", ".join(map(str, config.seeds or (run.get("seed", 0),))),
    }
