"""The studies of the page: the Pareto front of each, how its trials ended, which was chosen how, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from suite.errors import SuiteError
from suite.leaderboard.pareto import front_figure, objective_frame
from suite.leaderboard.report_cells import Cell, number_cell, setting_cell
from suite.leaderboard.report_columns import FRONT, STUDY, Head, heads_of
from suite.leaderboard.report_pictures import Picture, drawn, study_pictures
from suite.leaderboard.study_figures import flat_config, parameters_of, study_frame
from suite.runs.record import Record
from suite.tuning.objectives import Objective


@dataclass(frozen=True)
class StudyView:
    """A study: how its trials ended, which was chosen how, and its pictures."""

    name: str
    ended: str
    columns: Sequence[Head]
    chosen: Sequence[Sequence[Cell]]
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class FrontView:
    """The best trials of a study with several objectives: those that no other one beats in all of them."""

    name: str
    said: str
    columns: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    pictures: Sequence[Picture]


def fronts(records: Sequence[Record], frame: pd.DataFrame, objectives: Mapping[str, Sequence[str]]) -> list[FrontView]:
    """The front of every study that has several objectives and two finished trials.

    Args:
        frame: the leaderboard, which says what each study chose.
        objectives: study -> its objectives, of those whose folder was found.
    """
    names = dict.fromkeys(study for record in records for study in record.trials)
    found = [_front(name, records, frame, objectives[name]) for name in names if len(objectives.get(name, ())) > 1]
    return [view for view in found if view is not None]


def without_front(records: Sequence[Record], objectives: Mapping[str, Sequence[str]]) -> str:
    """Why the other studies have no front, in a sentence; empty where there are none."""
    names = dict.fromkeys(study for record in records for study in record.trials)
    single = [name for name in names if len(objectives.get(name, ())) == 1]
    unknown = [name for name in names if name not in objectives]
    told = [f"One objective, and so a best trial in the place of a front: {', '.join(single)}."] if single else []
    told += [f"The folder that says which objectives they had is not here: {', '.join(unknown)}."] if unknown else []
    return " ".join(told)


def _front(name: str, records: Sequence[Record], frame: pd.DataFrame, objectives: Sequence[str]) -> FrontView | None:
    try:
        table = objective_frame(records, name, objectives)
    except SuiteError:  # an objective of an outside package that is not installed here
        return None
    if len(table) < 2:
        return None
    hashes = set(table["settings_hash"])
    rows = [row for row in frame.to_dict("records") if name in str(row["study"]).split(",") and row["selection"] != "none"]
    chosen = next((str(row["settings_hash"]) for row in rows if row["settings_hash"] in hashes), "")
    varied = parameters_of(study_frame(records, name))
    configs = {record.settings_hash: flat_config(record.config) for record in records if name in record.trials}
    best = table[table["on front"] | (table["settings_hash"] == chosen)]
    best = best.sort_values(objectives[0], ascending=not Objective(objectives[0]).maximize)
    beaten = best[~best["on front"]]  # the chosen trial: a rule looks at one number, or takes the earliest of equal trials
    apart = "" if beaten.empty else f" Trial {beaten['trial'].iloc[0]}, which the study's rule chose, is beaten by one of them."
    heads = heads_of(FRONT)
    return FrontView(
        name,
        f"{len(best) - len(beaten)} of {len(table)} finished trials are beaten by no other one in {' and '.join(objectives)} together, "
        f"on validation data.{apart}",
        [
            heads[0],
            *(Head(one, _aim(one)) for one in objectives),
            heads[1],
            *(Head(one, "Varied by the study.") for one in varied),
        ],
        [
            [
                number_cell(float(row["trial"])),
                *(number_cell(float(row[one])) for one in objectives),
                number_cell(("yes" if row["on front"] else "yes, beaten") if row["settings_hash"] == chosen else "no"),
                *(setting_cell(configs[row["settings_hash"]].get(one, "-")) for one in varied),
            ]
            for row in best.to_dict("records")
        ],
        drawn(
            f"study {name}: ",
            [
                (
                    "objectives against each other, on validation data",
                    lambda: front_figure(table, objectives, name, chosen),
                    True,
                )
            ],
        ),
    )


def _aim(objective: str) -> str:
    return f"On validation data; {'higher' if Objective(objective).maximize else 'lower'} is better."


def study_views(records: Sequence[Record], frame: pd.DataFrame, importances: Mapping[str, pd.DataFrame]) -> list[StudyView]:
    """Every study of which the records are trials, in their order."""
    names = dict.fromkeys(study for record in records for study in record.trials)
    return [_study(name, [r for r in records if name in r.trials], frame, importances.get(name)) for name in names]


def _study(name: str, trials: Sequence[Record], frame: pd.DataFrame, importance: pd.DataFrame | None) -> StudyView:
    states = [record.status for record in trials]
    varied = parameters_of(study_frame(trials, name))
    known = {record.run_id: record for record in trials}
    chosen = []
    for row in frame.to_dict("records"):
        runs = [known[run] for name in ("left_out", "runs") for run in str(row[name]).split(",") if run in known]
        if not runs or row["selection"] == "none":
            continue
        settings = flat_config(runs[0].config)
        about = [
            number_cell(row["label"]),
            number_cell(float(row["trials"])),
            number_cell(row["selection"]),
            number_cell(float(row["oracle_gap"])),
        ]
        chosen.append([*about, *(setting_cell(settings.get(field, "-")) for field in varied)])
    ended = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    columns = [*heads_of(STUDY), *(Head(field, "Varied by the study.") for field in varied)]
    return StudyView(name, f"Runs: {ended}.", columns, chosen, study_pictures(name, trials, importance))
