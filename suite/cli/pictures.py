"""Pictures on their way into MLflow: of every run its matrix and ranks, of a study what its trials say together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from suite.leaderboard.figure_style import save_figure
from suite.leaderboard.figures import accuracy_matrix_figure
from suite.leaderboard.rank_figures import rank_figure
from suite.leaderboard.study_figures import study_drawings, study_frame
from suite.runs.record import Record
from suite.runs.store import RunStore

if TYPE_CHECKING:
    from suite.tracking.mlflow_sink import MlflowSink
    from suite.tuning.study import StudySource

PLACE, FORMS = "pictures", 2  # every drawing is an SVG and a PNG


def attach_run_pictures(sink: MlflowSink, records: Sequence[Record], out: Path) -> None:
    """Accuracy matrix and, where rank was learned, what kept rank, of every finished run; drawn below ``<out>/figures``.

    What MLflow holds whole is not drawn again; a picture that was drawn and never got there is.
    """
    for record in records:
        if record.status != "finished" or sink.is_away:
            continue
        folder = out / "figures" / record.run_id
        drawings = {"accuracy_matrix": partial(accuracy_matrix_figure, record)}
        if any(result.effective_rank for result in record.results):
            drawings["effective_rank"] = partial(rank_figure, record)
        drawn = {path.name: path.stat().st_size for stem in drawings for path in folder.glob(f"{stem}.*")}
        if len(drawn) == FORMS * len(drawings) and drawn.items() <= sink.attached(record.run_id, PLACE).items():
            continue
        sink.attach(record.run_id, [path for stem, draw in drawings.items() for path in save_figure(draw(), folder / stem)], PLACE)


def attach_study(sink: MlflowSink, parent: str, source: StudySource, out: Path) -> None:
    """Pictures and the table of all trials on the study's parent run; the best trials get their own pictures."""
    from suite.cli.report import importance

    trials = source.store.trials()
    sink.log_table(parent, _trial_columns(source), "trials.json")
    names = {number: str(trials[number].user_attrs.get("run_id", "")).split(",") for number in range(len(trials))}
    records = {record.run_id: record for record in RunStore(out).records([name for found in names.values() for name in found])}
    attach_run_pictures(sink, [records[name] for number in source.store.front() for name in names[number] if name in records], out)
    name, table = source.config.name, study_frame(list(records.values()), source.config.name)
    drawings = study_drawings(name, table, importance(table))
    folder = out / "figures" / f"study-{name}"
    paths = [path for stem, draw in drawings.items() for path in save_figure(draw(), folder / stem)]
    sink.attach_to(parent, paths, PLACE)


def _trial_columns(source: StudySource) -> dict[str, list[str]]:
    """Number, state, objectives, settings and reason of every trial as text."""
    trials = source.store.trials()
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    columns = {"trial": [str(trial.number) for trial in trials], "state": [trial.state.name for trial in trials]}
    for place, objective in enumerate(source.config.objectives):
        columns[objective] = [f"{trial.values[place]:.4g}" if trial.values else "" for trial in trials]
    for name in names:
        columns[name] = [str(trial.params.get(name, "")) for trial in trials]
    columns["reason"] = [str(trial.user_attrs.get("reason", "")) for trial in trials]
    return columns
