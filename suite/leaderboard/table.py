"""Records to leaderboard rows: one row per benchmark, setting, data, code and configuration; seeds are averaged.

The frame's columns are documented in docs/leaderboard.md; every table, file and page is made from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from suite.counting import counted
from suite.hashing import canonical_hash
from suite.leaderboard.protocols import judged_in
from suite.leaderboard.selection import Selection, headline, joined, metric_value, select_trials
from suite.metrics.conventions import convention
from suite.runs.costs import run_costs
from suite.runs.record import Record, setting_text

KEYS = ("benchmark", "setting", "method", "scoring", "data_fingerprint", "code_version", "settings_hash")
TASK = "last: "
COSTS = ("trainable_parameters", "effective_rank", "no_signal_rank", "carried_bytes", "wall_seconds", "peak_gib")
TRAITS = ("decision", "task_id_at_test", "extra_data", "mergeable")
ABOUT = (
    *TRAITS,
    *("standing", "p_vs_best", "n", "seeds", "orders", "tasks", "undefined", "unfinished"),
    *("backbone", "budget", "lr", "judged_in"),
    *("study", "trials", "selection", "oracle_gap", "left_out", "commit", "config_hash", "runs", "tags", "data_fingerprint"),
)


def leaderboard_frame(
    records: Iterable[Record],
    convention_name: str | None = None,
    *,
    all_trials: bool = False,
    per_task: bool = False,
    pool_orders: bool = False,
    selection_rule: str | None = None,
    tags: Mapping[str, Sequence[str]] | None = None,
    study: str | None = None,
) -> pd.DataFrame:
    """One row per configuration; columns ``<metric>`` (mean over seeds) and ``<metric> std`` (n - 1; empty for one seed).

    Only finished runs enter a mean; ``unfinished`` counts the others of the same configuration. Different data fingerprints,
    code versions and scoring rules never share a row. Runs by which a study chose a configuration enter no mean
    where it has finished runs that no choice saw; ``left_out`` names them.

    Args:
        convention_name: metrics of this convention for every row instead of each benchmark's own.
        all_trials: a row for every trial of a study, over all its runs; otherwise one for the trial that its rule selects.
        per_task: a column ``last: <task>`` for the accuracy on each task after the last one.
        pool_orders: one row for all orders of a stream over the same examples.
        selection_rule: see ``suite.leaderboard.selection``; None = what each sweep file names.
        tags: run id -> tags that people gave it.
        study: whose choice is shown where ``records`` are those of one study; None = that of every study.
    """
    every = list(records)
    selection = {} if all_trials else select_trials(every, selection_rule, study=study)
    shown = [record for record in every if all_trials or record.study is None or record.run_id in selection]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in shown:
        groups.setdefault(pooled_key(record) if pool_orders else _key(record), []).append(record)
    rows = [_row(key, group, convention_name, selection, tags or {}) for key, group in groups.items()]
    metrics = list(dict.fromkeys(name for row in rows for name in row if name not in (*KEYS, *COSTS, *ABOUT)))
    if per_task:
        rows = [row | _last_by_task(_unseen(group, selection)) for row, group in zip(rows, groups.values(), strict=True)]
    tasks = list(dict.fromkeys(name for row in rows for name in row if name.startswith(TASK)))
    columns = ["benchmark", "setting", "method", *metrics, *tasks, *COSTS, *ABOUT, "code_version", "settings_hash", "scoring"]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    return _sorted(frame, metrics)


def _key(record: Record) -> tuple[str, ...]:
    setting = setting_text(record.setting)
    method = record.method
    return (
        record.benchmark,
        setting,
        method,
        record.scoring or "",
        record.data_fingerprint[:12],
        record.code_version,
        record.settings_hash,
    )


def pooled_key(record: Record) -> tuple[str, ...]:
    """As ``_key`` without the order: tasks by name with the digests of their examples stand for the data."""
    benchmark, _, method, scoring, _, code, _ = _key(record)
    setting = setting_text({key: value for key, value in record.setting.items() if key != "order"})
    digests = zip(record.tasks, record.item_digests.get("validation", []), record.item_digests.get("test", []), strict=False)
    data = canonical_hash(sorted([task, *found] for task, *found in digests))[:12]
    config = {key: value for key, value in record.config.items() if key != "seed"}
    config["benchmark"] = {key: value for key, value in config["benchmark"].items() if key != "order"}
    return benchmark, setting, method, scoring, data, code, canonical_hash(config)


def _unseen(group: Sequence[Record], selection: Mapping[str, Selection]) -> list[Record]:
    """The runs of a configuration by which no study chose it; all of them where none of these is finished."""
    unseen = [record for record in group if record.run_id not in selection]
    return unseen if any(record.status == "finished" for record in unseen) else list(group)


def _row(
    key: tuple[str, ...],
    every: Sequence[Record],
    convention_name: str | None,
    selection: Mapping[str, Selection],
    tags: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    choices = [selection[record.run_id] for record in every if record.run_id in selection]
    selected = joined(choices) if choices else None
    group = _unseen(every, selection)
    shown = {record.run_id for record in group}
    finished = [record for record in group if record.status == "finished"]
    row: dict[str, Any] = dict(zip(KEYS, key, strict=True))
    undefined = []
    names = [metric.name for metric in convention(convention_name)] if convention_name else group[0].metrics
    for name in names:
        values = [value for record in finished if not math.isnan(value := metric_value(record, name))]
        undefined += [name] if finished and not values else []
        row[name] = float(np.mean(values)) if values else math.nan
        row[f"{name} std"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    row |= {name: _mean(cost_columns(record)[name] for record in finished) for name in COSTS}
    training = group[0].config["training"]
    commits = {(record.commit or "")[:12] + ("+" if record.dirty else "") for record in group}
    return row | {
        **{name: trait_text(group, name) for name in TRAITS},
        "standing": "",
        "p_vs_best": math.nan,
        "n": len(finished),
        "orders": ",".join(sorted({str(record.setting.get("order", "")) for record in group} - {""})),
        "tasks": tasks_text(group),
        "undefined": ", ".join(undefined),
        "runs": ",".join(record.run_id for record in finished),
        "tags": ", ".join(dict.fromkeys(tag for record in group for tag in tags.get(record.run_id, ()))),
        "seeds": ",".join(str(seed) for seed in sorted({record.config["seed"] for record in finished})),
        "unfinished": ", ".join(sorted(_state(record) for record in group if record.status != "finished")),
        "backbone": backbone_text(group[0].config["backbone"]),
        "budget": budget_text(training) if took_steps(group) else "",
        "lr": training["lr"],
        "judged_in": ", ".join(sorted({judged_in(record) for record in group})),
        "study": ",".join(selected.studies if selected else sorted({study for record in every for study in record.trials})),
        "trials": selected.trials if selected else 1,
        "selection": selected.rule if selected else "none",
        "oracle_gap": selected.oracle_gap if selected else math.nan,
        "left_out": ",".join(record.run_id for record in every if record.run_id not in shown),
        "commit": ",".join(sorted(commits)),
        "config_hash": ",".join(sorted({record.config_hash for record in group})),
    }


def _last_by_task(group: Sequence[Record]) -> dict[str, float]:
    """Mean accuracy over the finished runs on each task after the last one."""
    found: dict[str, list[float]] = {}
    for record in group:
        if record.status == "finished":
            for task, value in zip(record.tasks, record.test[-1], strict=True):
                found.setdefault(TASK + task, []).append(math.nan if value is None else value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def cost_columns(record: Record) -> Mapping[str, float]:
    """Cost columns of one run; NaN for what its method does not have."""
    found = run_costs(record.results)
    values = {**found._asdict(), "peak_gib": found.peak_bytes / 2**30}
    return {name: math.nan if values[name] is None else float(values[name]) for name in COSTS}


def trait_text(group: Sequence[Record], name: str) -> str:
    """A trait of these runs' method, as tables show it: ``yes``, ``no`` or a word; empty where no record says it."""
    said = dict.fromkeys(record.traits[name] for record in group if name in record.traits)
    return ", ".join(("yes" if value else "no") if isinstance(value, bool) else value or "none" for value in said)


def tasks_text(group: Sequence[Record]) -> str:
    """Number and names of these runs' tasks in their order, as headings tell streams apart; of several orders the first."""
    orders = list(dict.fromkeys(tuple(record.tasks) for record in group))
    several = f" (first of {len(orders)} orders)" if len(orders) > 1 else ""
    return f"{counted(len(orders[0]), 'task')}: {', '.join(orders[0])}{several}"


def took_steps(group: Sequence[Record]) -> bool:
    """Whether these runs spent the budget that their config names: a method that learns without steps, or not at all, does not."""
    learned = [result.costs.steps for record in group for result in record.results[1:]]
    return any(learned) or not learned


def budget_text(training: Mapping[str, Any]) -> str:
    """Steps or epochs per task and batch size, as the table shows them."""
    if training["steps"] is not None:
        return f"{counted(training['steps'], 'step')} x {training['batch_size']}"
    epochs = training["epochs"]
    return f"{'own' if epochs is None else f'{epochs:g}'} epochs x {training['batch_size']}"


def backbone_text(backbone: Mapping[str, Any]) -> str:
    """Name, model and weights of a backbone's config, and whether prompts stand in its template, as the table shows them."""
    template = "chat template" if backbone.get("chat_template") else None
    parts = (*(backbone.get(key) for key in ("name", "model", "pretrained")), template)
    return " ".join(str(part) for part in parts if part is not None)


def _state(record: Record) -> str:
    return f"seed {record.config['seed']} {record.status} after {record.tasks_done} of {len(record.tasks)}"


def _mean(values: Iterable[float]) -> float:
    found = [value for value in values if not math.isnan(value)]
    return float(np.mean(found)) if found else math.nan


def _sorted(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """By benchmark and setting, the best last accuracy or overall performance (else first metric) of the benchmark first."""
    if frame.empty:
        return frame
    parts = []
    for _, part in frame.sort_values(["benchmark", "setting"], kind="stable").groupby(["benchmark", "setting"], sort=False):
        measured = [name for name in metrics if part[name].notna().any()]
        parts.append(part.sort_values(headline(measured or metrics), ascending=False, na_position="last", kind="stable"))
    return pd.concat(parts, ignore_index=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the metric columns, without their standard deviations."""
    return [name.removesuffix(" std") for name in frame.columns if name.endswith(" std")]


def shown_metrics(part: pd.DataFrame) -> list[str]:
    """The metric columns that say something about these rows: measured for one of them, or undefined for its stream."""
    undefined = undefined_metrics(part)
    return [name for name in metric_columns(part) if part[name].notna().any() or name in undefined]


def undefined_metrics(part: pd.DataFrame) -> list[str]:
    """Metrics that the streams of these rows leave without a value, in the order of the columns."""
    named = {name for text in part["undefined"] for name in str(text).split(", ")}
    return [name for name in metric_columns(part) if name in named and not part[name].notna().any()]


def task_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the columns with the accuracy on one task after the last one."""
    return [name for name in frame.columns if name.startswith(TASK)]


def number_text(value: float) -> str:
    """One decimal, as tables for readers show scores; ``-`` for what was not measured."""
    return "-" if math.isnan(value) else f"{value:.1f}"


def p_text(value: float) -> str:
    """A p value with three decimals, as tables for readers show it; one that these would make zero is named by its bound."""
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def with_spread(mean: float, spread: float) -> str:
    """Mean ± standard deviation; the mean alone for one seed."""
    return number_text(mean) if math.isnan(mean) or math.isnan(spread) else f"{number_text(mean)} ± {number_text(spread)}"
