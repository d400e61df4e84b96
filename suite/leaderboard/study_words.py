"""A study in words for a tracker's page: what was searched, which trial its rule chose, its best trials, the Pareto front."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from suite.counting import counted
from suite.leaderboard.selection import RULES, headline, metric_value, select_trials
from suite.runs.record import Record
from suite.tuning.choosing import rule_parts
from suite.tuning.objectives import Objective
from suite.tuning.study_result import Study

SHOWN = 10  # trials in a table


def study_metrics(study: Study, records: Sequence[Record], *, is_over: bool) -> dict[str, float]:
    """Best value of every objective over the front, and of the chosen trial its headline metric: on validation, and on test once the study is over."""
    front = [study.trials[number].values for number in study.front]
    found = {}
    for place, name in enumerate(study.config.objectives if front else ()):
        best = max if Objective(name).maximize else min
        found[f"best/{name}"] = float(best(values[place] for values in front))
    chosen = chosen_runs(study, records)
    for split in ("validation", *(["test"] if is_over else [])):
        values = [metric_value(record, headline(record.metrics), split) for record in chosen]  # type: ignore[arg-type]
        if values and not any(map(math.isnan, values)):
            found[f"chosen/{split}.{headline(chosen[0].metrics)}"] = sum(values) / len(values)
    return found


def chosen_runs(study: Study, records: Sequence[Record]) -> list[Record]:
    """The runs of the trial that the study's rule chooses; none before one is finished. Of several versions of code or data the newest."""
    chosen = select_trials(records, study=study.config.name)
    runs = [record for record in records if record.run_id in chosen]
    if not runs:
        return []
    newest = max(runs, key=lambda record: record.started_at)
    same = (newest.code_version, newest.data_fingerprint)
    return [record for record in runs if (record.code_version, record.data_fingerprint) == same]


def study_text(study: Study, records: Sequence[Record], *, is_over: bool) -> str:
    """The study as Markdown."""
    complete = [trial for trial in study.trials if trial.values]
    parts = [_head(study), _chosen(study, records, is_over=is_over)]
    if len(study.config.objectives) > 1:
        title = (
            f"Pareto front: {counted(len(study.front), 'trial')} that no other one beats in every objective, on validation data"
        )
        parts.append(_table(study, title, study.front))
    sign = -1 if Objective(study.config.objectives[0]).maximize else 1
    ordered = [trial.number for trial in sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))]
    parts.append(_table(study, f"Best trials by {study.config.objectives[0]} on validation data", ordered))
    return "\n\n".join(filter(None, parts))


def _head(study: Study) -> str:
    config = study.config
    spaces = [config.space] if isinstance(config.space, str) else list(config.space)
    states = Counter(trial.state.name for trial in study.trials)
    ended = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    goals = " and ".join(f"{name} ({'more' if Objective(name).maximize else 'less'} is better)" for name in config.objectives)
    return (
        f"Search of {goals} over {' + '.join(spaces)} with {config.sampler}: {counted(len(study.trials), 'trial')} ({ended})."
    )


def _chosen(study: Study, records: Sequence[Record], *, is_over: bool) -> str:
    runs, name = chosen_runs(study, records), study.config.name
    if not runs:
        return "**Chosen trial**: none yet."
    number = runs[0].trials[name]
    rule, _ = rule_parts(runs[0].selection or study.config.selection or "two-phase")
    metric = headline(runs[0].metrics)
    shown = [f"validation {_mean(runs, metric, 'validation')}"]
    shown += [f"test {_mean(runs, metric, 'test')}"] if is_over else []
    seeds = f", mean of {len(runs)} seeds" if len(runs) > 1 else ""
    settings = _settings(study.trials[number].params) if number < len(study.trials) else ""
    return f"**Chosen trial**: {number}, by {rule} ({RULES.get(rule, rule)}): {settings}. {metric}: {', '.join(shown)}{seeds}."


def _mean(runs: Sequence[Record], metric: str, split: Any) -> str:
    return f"{sum(metric_value(record, metric, split) for record in runs) / len(runs):.2f}"


def _table(study: Study, title: str, numbers: Sequence[int]) -> str:
    trials = [study.trials[number] for number in numbers]
    if not trials:
        return ""
    heads = ["trial", *study.config.objectives, "settings"]
    rows = [
        [str(trial.number), *(f"{value:.4g}" for value in trial.values), _settings(trial.params)] for trial in trials[:SHOWN]
    ]
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
    more = f"\n\nand {len(trials) - SHOWN} more, in `trials.json` below" if len(trials) > SHOWN else ""
    return f"**{title}**\n\n" + "\n".join(lines) + more


def _settings(params: Mapping[str, Any]) -> str:
    shown = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
    return ", ".join(shown).replace("|", "&#124;").replace("<", "&lt;").replace("\n", " ")
