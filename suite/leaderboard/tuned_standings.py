"""Who wins on a benchmark of a tuning, with tuned and with default settings, in words: by how much, and whether it is real."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suite.counting import counted
from suite.leaderboard.comparison import LEVEL, Difference
from suite.leaderboard.tuned_table import TunedBoard, is_level

PERCENT = f"{100 * LEVEL:g} %"
Row = Mapping[Any, Any]  # of a board


def stream_text(board: TunedBoard) -> str:
    """The benchmark and how it was learned: ``mini-xtail (shots 4, 3 tasks, 60 steps x 16 per task)``."""
    return f"{board.benchmark} ({board.stream})" if board.stream else board.benchmark


def standing(board: TunedBoard, rows: Sequence[Row]) -> list[str]:
    """Who wins, by how much, and whether it is real."""
    if not rows:
        return [f"On {stream_text(board)} nothing can be said yet: no tuned setting has a finished run on the judging seeds."]
    if board.unpaired:
        return [f"On {stream_text(board)} the methods cannot be compared: {board.unpaired.rstrip('.')}."]
    paired = [row for row in rows if row["standing"]]
    if not paired:
        why = f"{rows[0]['method']} alone has judged runs of its tuned setting"
        if len(rows) > 1:
            why = f"of the methods with judged runs of their tuned settings ({names([row['method'] for row in rows])}) at most one stored outcomes"
        return [f"On {stream_text(board)} there is nothing to compare: {why}."]
    best = next(row for row in paired if row["standing"] == "best")
    others = [row for row in paired if row is not best]
    tied = [row for row in others if row["standing"] == "not separable"]
    tests = f"paired over equal examples, Holm over {counted(len(board.pairs['tuned']) // 2, 'pair')}, {PERCENT}"
    value = f"{best['metric']} {best['tuned']:.1f} %"
    second = board.pairs["tuned"][best["method"], (tied or others)[0]["method"]]
    if not tied:
        rest = "" if len(others) == 1 else f", the next best of {len(others)}, and beyond chance ahead of every one"
        return [
            f"On {stream_text(board)} {best['method']} is better than {others[0]['method'] if len(others) == 1 else 'all other methods'}: "
            f"{value}, {_distance(second)} ahead of {others[0]['method']}{rest} ({tests})."
        ]
    level, behind = _level(paired, "tuned", "standing"), _behind(others, "standing")
    loose = [row["method"] for row in tied if row["method"] not in level]
    if len(level) == 1:
        lead = f"{best['method']} has the highest mean ({value}), but {names(loose)} cannot be told from it"
        nearest = f"it is {_ahead(second, tied[0]['method'])}"
    else:
        lead = f"{names(level)} have the same highest mean ({value})"
        lead += f", and {names(loose)} cannot be told from {best['method']}" if loose else ""
        nearest = f"{best['method']} minus {level[1]}: {_distance(board.pairs['tuned'][best['method'], level[1]])}"
    rest = f"; beyond chance behind {'it' if len(level) == 1 else best['method']}: {names(behind)}" if behind else ""
    return [f"On {stream_text(board)} no method is shown to be the best: {lead} ({nearest}; {tests}){rest}."]


def by_default(board: TunedBoard) -> str:
    """Who is first and who is behind with default settings, where that differs from what tuned settings show."""
    rows = board.rows.to_dict("records")
    if not any(row["default standing"] for row in rows):
        return ""
    first, behind = _level(rows, "default", "default standing"), _behind(rows, "default standing")
    is_tuned = any(row["standing"] for row in rows)
    is_same = is_tuned and set(first) == set(_level(rows, "tuned", "standing"))
    if is_same and set(behind) == set(_behind(rows, "standing")):
        return ""
    lead = f"{first[0]} has the highest mean" if len(first) == 1 else f"{names(first)} have the same highest mean"
    it = "it" if len(first) == 1 else first[0]
    far = f"{names(behind)} {'is' if len(behind) == 1 else 'are'}" if behind else "no method is"
    return f"With default settings {lead}{' too' if is_same else ''}; {far} behind {it} beyond chance."


def _level(rows: Sequence[Row], setting: str, standing: str) -> list[str]:
    """The methods that share the highest mean of the paired ones, the one that is marked as best first."""
    best = next(row for row in rows if row[standing] == "best")
    others = [row for row in rows if row[standing] == "not separable" and is_level(best[setting] - row[setting])]
    return [str(row["method"]) for row in (best, *others)]


def _behind(rows: Sequence[Row], standing: str) -> list[str]:
    return [str(row["method"]) for row in rows if row[standing] == "behind"]


def _ahead(found: Difference, other: str) -> str:
    """By how much the best mean is ahead of another; on the runs that the two share it can be behind while others are missing."""
    if found.mean < 0 and not is_level(found.mean):
        turned = Difference(-found.mean, -found.high, -found.low, found.p, found.over)
        return f"{_distance(turned)} behind {other} on the runs that they share"
    return f"{_distance(found)} ahead of {other}"


def _distance(found: Difference) -> str:
    """Points with their interval; the mean alone where no interval is possible."""
    size = points(found.mean)
    return size if math.isnan(found.low) else f"{size} (95 % interval {found.low:.1f} to {found.high:.1f})"


def points(value: float) -> str:
    """The size of a difference; one that is there is never shown as none."""
    size = abs(value)
    return "less than 0.1 points" if not is_level(size) and size < 0.05 else f"{size:.1f} points"


def names(found: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
