"""Pictures on their way to a tracker: of every run its matrix and ranks, of a study what its trials say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.leaderboard.figure_style import save_figure
from suite.leaderboard.figures import accuracy_matrix_figure
from suite.runs.record import Record
from suite.runs.store import RunStore
from suite.tracking.about import About
from suite.tracking.tracker import Target

if TYPE_CHECKING:
    from suite.tracking.delivery import Delivery
    from suite.tuning.study_result import Study

PLACE, FORMS = "pictures", 2  # every drawing is an SVG and a PNG


def attach_run_pictures(delivery: Delivery, records: Sequence[Record], out: Path) -> None:
    """Accuracy matrix and, where rank was learned, what kept rank, of every finished run; drawn below ``<out>/figures``.

    What the tracker holds whole is not drawn again; a picture that was drawn and never got there is.
    """
    for record in records:
        if record.status != "finished" or not delivery.takes_files:
            continue
        run = Target("run", record.run_id)
        folder = out / "figures" / record.run_id
        stems = ["accuracy_matrix", *(["effective_rank"] if any(result.effective_rank for result in record.results) else [])]
        drawn = [path for stem in stems for path in folder.glob(f"{stem}.*")]
        if len(drawn) == FORMS * len(stems) and delivery.holds(run, drawn, PLACE):
            continue
        drawings = _drawings(record)
        delivery.attach(run, [path for stem in stems for path in save_figure(drawings[stem](), folder / stem)], PLACE)


def _drawings(record: Record) -> Mapping[str, Callable[[], Any]]:
    from suite.leaderboard.rank_figures import rank_figure

    return {"accuracy_matrix": partial(accuracy_matrix_figure, record), "effective_rank": partial(rank_figure, record)}


def attach_study(delivery: Delivery, study: Study, out: Path, *, is_over: bool = False) -> None:
    """Description, numbers, pictures and the table of all trials on the study; the best trials get their own pictures.

    Args:
        is_over: nothing is searched any more, so that test numbers of the chosen trial may be shown.
    """
    from suite.leaderboard.study_figures import study_drawings, study_frame
    from suite.workflows.importance import importance

    if not delivery.takes_files:
        return
    delivery.log_table(study.config.name, _texts(study), "trials.json")
    names = [str(trial.user_attrs.get("run_id", "")).split(",") for trial in study.trials]
    records = {record.run_id: record for record in RunStore(out).records([name for found in names for name in found])}
    target, about = Target("study", study.config.name), about_study(study, list(records.values()), is_over=is_over)
    delivery.describe(target, replace(about, command=delivery.command))
    attach_run_pictures(delivery, [records[name] for number in study.front for name in names[number] if name in records], out)
    title, table = study.config.name, study_frame(list(records.values()), study.config.name)
    drawings = study_drawings(title, table, importance(table))
    folder = out / "figures" / f"study-{title}"
    paths = [path for stem, draw in drawings.items() for path in save_figure(draw(), folder / stem)]
    delivery.attach(target, paths, PLACE)


def about_study(study: Study, records: Sequence[Record], *, is_over: bool) -> About:
    """What a tracker says of a study as a whole."""
    from suite.leaderboard.study_words import study_metrics, study_text

    text = study_text(study, records, is_over=is_over)
    return About(text=text, metrics=study_metrics(study, records, is_over=is_over))


def _texts(study: Study) -> dict[str, list[str]]:
    """The study's columns as a tracker shows them."""
    columns = {name: values for name, values in study.columns().items() if name != "runs"}
    return {
        name: [_text(value, as_number=name in study.config.objectives) for value in values] for name, values in columns.items()
    }


def _text(value: Any, *, as_number: bool) -> str:
    if value != value:  # NaN: the trial has no such thing
        return ""
    return f"{value:.4g}" if as_number else str(value)
