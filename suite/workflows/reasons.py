"""Why runs cannot begin or have failed, each reason once, in a sentence that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAMES, LENGTH = 6, 400  # runs named in one sentence; characters of a reason, after which clauses are counted


def told_once(found: Iterable[tuple[str, str]]) -> list[str]:
    """One sentence for every reason in pairs of a run's name and a reason, with the runs that it holds for.

    Reasons that name the same things in another order, as two orders of the same tasks do, are one.
    """
    names: dict[tuple[str, ...], list[str]] = {}
    reasons: dict[tuple[str, ...], str] = {}
    for name, reason in found:
        key = tuple(sorted(re.split(r"[\s,;:()]+", reason.rstrip("."))))
        reasons.setdefault(key, reason)
        names.setdefault(key, []).append(name)
    return [f"{_listed(list(dict.fromkeys(names[key])))}: {_readable(reason)}" for key, reason in reasons.items()]


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMES
    return f"{', '.join(names[:NAMES])} and {rest} more" if rest > 1 else ", ".join(names)


def _readable(reason: str) -> str:
    """``reason`` without the clauses beyond ``LENGTH``: of ten missing data sets the first one says what to do."""
    clauses = reason.rstrip(".").split("; ")
    kept = [clauses[0]]
    for clause in clauses[1:]:
        if len("; ".join([*kept, clause])) > LENGTH and len(kept) > 1:
            break
        kept.append(clause)
    if len(clauses) - len(kept) < 2:
        return reason
    return f"{'; '.join(kept)}; and so on for the others."
