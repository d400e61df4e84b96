"""What the tests behind a table's marks and behind the rank diagram ask, so that two right answers do not look like a contradiction."""

from __future__ import annotations

import pandas as pd

from suite.counting import counted
from suite.leaderboard.comparison import LEVEL

LEFT_OUT = "the runs by which it chose them are left out, as far as there are others"
PERCENT = f"{100 * LEVEL:g} %"


def marks_text(part: pd.DataFrame) -> str:
    """What the marks of these leaderboard rows test; empty when no row is marked."""
    best = part[part["standing"] == "best"]
    if best.empty:
        return ""
    own = seed_set(best["seeds"].iloc[0])
    marked = part[part["standing"].isin(["not separable", "behind"])]
    shared = {len(own & seed_set(seeds)) for seeds in marked["seeds"]}
    asked = (
        "The marks ask about means: best has the highest mean over tasks after the last one, and each other row is tested against it, paired "
        f"example by example, Holm-corrected over the rows, at {PERCENT}. Not separable means that these runs do not show a difference, not that "
        "there is none."
    )
    if (part["left_out"] != "").any():
        asked += f" Of rows that a study chose, {LEFT_OUT}."
    if max(shared) < 2:
        return f"{asked} Rows share one seed at most: the marks speak for other examples of these tasks and say nothing about other seeds."
    alone = "" if min(shared) > 1 else " Where fewer than two seeds are shared, they speak for other examples alone."
    return f"{asked} They speak for other examples and, by the {max(shared)} seeds that rows share, for other seeds.{alone}"


def ranks_text(tasks: int) -> str:
    """What the rank diagram and its critical difference test."""
    return (
        f"The rank diagram asks another question: whether rows come in the same order on every task. Each of the {counted(tasks, 'task')} is one "
        f"observation, whatever the size of its differences and the number of its examples (Friedman, Nemenyi, {PERCENT}). It says nothing about "
        "means, and with few tasks it separates little: a row can be behind the best by its mean and joined to it by a bar."
    )


def seed_set(text: str) -> set[str]:
    """The seeds that a row of the leaderboard has finished runs of."""
    return set(text.split(","))
