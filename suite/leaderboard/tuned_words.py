"""What a person can quote of a tuning: who wins, by how much, whether it is real, what tuning changed, what it cost, what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence

from suite.counting import counted
from suite.leaderboard.comparison import LEVEL, is_over_seeds
from suite.leaderboard.selection import same_formula
from suite.leaderboard.tuned import Tuning
from suite.leaderboard.tuned_sensitivity import WITHIN, second_half
from suite.leaderboard.tuned_standings import PERCENT, Row, by_default, names, points, standing
from suite.leaderboard.tuned_table import SETTINGS, TunedBoard, is_level, is_real, judged

LEGEND = (
    "◆ highest mean of its column, ◇ not separable from it (all pairs of a column, paired over equal examples and seeds, Holm, "
    f"{PERCENT}); gain: tuned minus default on equal runs, interval for each method alone; optimism: validation score of the chosen trial "
    "minus that of the same setting on the judging seeds"
)
ORDERS = "; trials have another order of tasks than the judging runs, and what that changes is part of it"
SENSITIVITY = (
    "after half: mean over all sets of half of the finished trials; share of space: of the trials that were drawn at random, those within "
    f"{WITHIN:g} point of the method's best trial, stopped and failed ones counting as outside"
)
FEW_SEEDS = 3  # with fewer an interval over seeds is so wide, where they disagree, that it hides 20 points
MANY_PAIRS = 3  # more are counted, not named
ANEW = "under another name (runs that are finished are reused)"


def legend(tuning: Tuning, benchmark: str) -> str:
    """What the marks and columns of a table mean."""
    return LEGEND + (ORDERS if any(tuning.orders[benchmark]) else "")


def closing(tuning: Tuning, board: TunedBoard) -> str:
    """The closing sentences of one benchmark of a tuning, the first one being the result."""
    rows = [row for row in board.rows.to_dict("records") if not math.isnan(row["tuned"])]
    told = [*standing(board, rows), *_seeds(tuning, board, rows), *_orders(board), *_changes(tuning, board)]
    told += [*_failures(tuning, board), *_costs(board)]
    return " ".join([*told, _next(tuning, board, rows)])


def agreement(board: TunedBoard) -> str:
    """Kendall's tau between the two orders of the methods and what it means; empty where there are no two orders."""
    order = board.order
    if order is None:
        return ""
    if math.isnan(order.tau):
        both = board.rows.dropna(subset=list(SETTINGS))
        equal = [setting for setting in SETTINGS if is_level(both[setting].max() - both[setting].min())]
        return f"With {' and with '.join(equal)} settings all methods have the same mean, so that there is no order to compare."
    sure = sum(_is_sure_change(board, *pair) for pair in _pairs(board))
    swapped = (
        f"{order.changed} of {counted(order.pairs, 'pair')} of methods {'changes' if order.changed == 1 else 'change'} places"
    )
    beyond = f", {sure or 'none'} of them beyond chance under both settings" if order.changed else ""
    tied = f", {order.tied} with a tie" if order.tied else ""
    return (
        "Kendall's tau between the order by default and by tuned settings is "
        f"{order.tau:.2f} (1 = the same order, -1 = reversed): {swapped}{beyond}{tied}."
    )


def _seeds(tuning: Tuning, board: TunedBoard, rows: Sequence[Row]) -> list[str]:
    """For what the result holds beyond the runs: what the tests rest on, not what is planned."""
    if not rows:
        return []
    settings = [found for one in tuning.of(board.benchmark) if (found := judged(one, "tuned"))]
    seeds, planned = len({record.config["seed"] for found in settings for record in found.finished}), len(tuning.seeds)
    is_whole = all(row[f"{setting} n"] == row["planned"] for row in board.rows.to_dict("records") for setting in SETTINGS)
    orders = len(tuning.orders[board.benchmark])
    each = f", each in {orders} orders of tasks" if orders > 1 and is_whole else ""
    if seeds == 1:
        said = "were judged with one seed" if is_whole else f"have been judged with one seed of {planned}"
        return [f"Settings {said}{each}: nothing can be said about other seeds, only about other examples."]
    said = f"were judged with {seeds}" if is_whole else f"have been judged with {seeds} of {planned}"
    return [f"Settings {said} seeds that no trial used{each}{_scope(board)}."]


def _scope(board: TunedBoard) -> str:
    """Which comparisons speak for new seeds, as the end of a sentence; a pair that shares fewer than two seeds does not."""
    pairs = list(board.pairs["tuned"].items())[::2]
    tests = {f"the comparison of {one} with {other}": found.over for (one, other), found in pairs}
    gains = {f"the gain of {row['method']}": row["over"] for row in board.rows.to_dict("records") if row["over"]}
    quiet = [name for name, over in {**tests, **gains}.items() if not is_over_seeds(over)]
    count = len(tests) + len(gains)
    if not count:
        return ""
    if not quiet:
        return "; the result speaks for new examples and new seeds"
    if len(quiet) == count:
        return "; what is compared shares fewer than two of them, so that nothing can be said about other seeds, only about other examples"
    told = names(quiet) if len(quiet) <= MANY_PAIRS else f"{len(quiet)} of {count} comparisons and gains"
    why = "these rest on fewer than two common seeds and speak for new examples alone"
    return f"; the result speaks for new examples and new seeds, except for {told}: {why}"


def _orders(board: TunedBoard) -> list[str]:
    """Whether another order of tasks has another best method."""
    if len(set(board.best_by_order.values())) < 2:
        return []
    told = ", ".join(f"{name} in order {order}" for order, name in board.best_by_order.items())
    return [f"Order by order, which is not tested, the highest mean changes: {told}."]


def _changes(tuning: Tuning, board: TunedBoard) -> list[str]:
    """What tuning changed."""
    rows = [row for row in board.rows.to_dict("records") if not math.isnan(row["gain"])]
    if not rows:
        return list(filter(None, [by_default(board)]))
    real = [row for row in rows if row["gain p"] < LEVEL]
    up, down = ([row for row in real if sign * row["gain"] > 0] for sign in (1, -1))
    told = [f"raised {_by(up)}"] if up else []
    told += [f"lowered {_by(down)}"] if down else []
    most = max(rows, key=lambda row: abs(row["gain"]))
    if told:
        rest = len(rows) - len(real)
        others = f", and not {'the other method' if rest == 1 else f'the {rest} other methods'}" if rest else ""
        said = f"Tuning {' and '.join(told)} beyond chance{others}."
    elif not is_level(most["gain"]):
        largest = f"{'gain' if most['gain'] > 0 else 'loss'} of {points(most['gain'])}"
        said = f"Tuning changed no method beyond chance; the largest change is {most['method']}'s {largest}."
    elif all(one.tuned is None or one.tuned.records == one.default.records for one in tuning.of(board.benchmark)):
        said = "Tuning changed nothing: every method's best trial has its default setting."
    else:
        said = "Tuning changed no method's mean."
    return [said, *filter(None, [_other_aim(tuning, most["metric"]), by_default(board), agreement(board)])]


def _by(rows: Sequence[Row]) -> str:
    """``lora by 4.1 points and codyra by 2.0 points``."""
    return names([f"{row['method']} by {points(row['gain'])}" for row in rows])


def _other_aim(tuning: Tuning, metric: str) -> str:
    """What trials were chosen by, where that is another number than the one that is shown."""
    if tuning.rule == "two-phase" and same_formula(tuning.objective, metric):
        return ""
    return f"Trials were chosen by {tuning.score_name} on validation data, not by {metric}."


def _failures(tuning: Tuning, board: TunedBoard) -> list[str]:
    """Which methods were tuned with less than their budget, because trials failed."""
    told = [
        f"{len(one.failed)} of {counted(len(one.trials), 'trial')} of {one.method}"
        + (f" ({one.failed[-1].reason.rstrip('.')})" if one.failed[-1].reason else "")
        for one in tuning.of(board.benchmark)
        if one.failed
    ]
    return [f"Budgets were not spent alike, because trials failed: {'; '.join(told)}."] if told else []


def _costs(board: TunedBoard) -> list[str]:
    """What it cost."""
    columns = ("trials", "trial seconds", "judging seconds", "saved seconds")
    trials, searching, judging, saved = (float(board.rows[name].sum()) for name in columns)
    if not searching and not judging:
        return []
    less = f"; shared beginnings saved {_seconds(saved)} of that" if saved else ""
    return [
        f"It cost {counted(int(trials), 'trial')} and {_seconds(searching + judging)} of runs, {_seconds(judging)} of them judging{less}."
    ]


def _next(tuning: Tuning, board: TunedBoard, rows: Sequence[Row]) -> str:
    """What to do next."""
    lost, missing = _unfinished(tuning, board)
    if missing:
        failing = [one.method for one in tuning.of(board.benchmark) if one.problem and not one.is_final]
        first = f"correct what made {names(failing)} fail, then " if failing else ""
        otherwise = ", or other fields for it under another name" if failing else ""
        return f"This is not finished ({_reasons(missing)}). Next: {first}the same command with --resume{otherwise}."
    if lost:
        anew = f"correct what made {names([row['method'] for row in lost])} fail and tune {ANEW}, or leave it at that"
        return f"Nothing more will come of this ({_reasons(lost)}). Next: {anew}."
    if len(tuning.seeds) < FEW_SEEDS:
        return f"Next: judge with at least {FEW_SEEDS} seeds, {ANEW}."
    if len(rows) == 1:
        return _next_for_one(tuning, rows[0])
    if any(row["standing"] == "not separable" for row in rows):
        return f"Next: more seeds than {len(tuning.seeds)} to judge with, {ANEW}, or take the methods as equal here."
    lead = {row["method"]: rows[0]["tuned"] - row["tuned"] for row in rows[1:]}
    trials = {one.method: one.trials for one in tuning.of(board.benchmark)}
    close = [name for name, points in lead.items() if second_half(trials[name]) > points]
    if close:
        return (
            f"Next: more trials, {ANEW}; the second half of them raised the best validation score that is expected of {names(close)} by more than "
            f"the lead of {rows[0]['method']}."
        )
    return f"Next: another benchmark; this result holds for {board.benchmark} alone."


def _unfinished(tuning: Tuning, board: TunedBoard) -> tuple[list[Row], list[Row]]:
    """Methods without a whole result: those that will never have one, and those that --resume goes on with."""
    final = {one.method for one in tuning.of(board.benchmark) if one.is_final}
    rows = [row for row in board.rows.to_dict("records") if row["unfinished"]]
    return [row for row in rows if row["method"] in final], [row for row in rows if row["method"] not in final]


def _reasons(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row['method']}: {row['unfinished']}" for row in rows)


def _next_for_one(tuning: Tuning, row: Row) -> str:
    """What to do next with one method, of which tuning is the question."""
    if math.isnan(row["gain"]):
        return f"Next: other methods to compare {row['method']} with."
    if row["gain p"] < LEVEL:
        return f"Next: another benchmark, or other methods to compare {row['method']} with."
    more = "trials" if not row["gain"] else f"seeds than {len(tuning.seeds)} to judge with"
    return f"Next: more {more}, {ANEW}, or keep the default setting of {row['method']}."


def _pairs(board: TunedBoard) -> list[tuple[str, str]]:
    both = board.rows.dropna(subset=["default", "tuned"])["method"].tolist()
    return [(one, other) for place, one in enumerate(both) for other in both[place + 1 :]]


def _is_sure_change(board: TunedBoard, one: str, other: str) -> bool:
    before, after = (board.pairs[setting] for setting in SETTINGS)
    if (one, other) not in before or (one, other) not in after:
        return False
    return any(is_real(before[pair]) and is_real(after[pair[::-1]]) for pair in ((one, other), (other, one)))


def _seconds(value: float) -> str:
    return f"{value:,.0f} s"
