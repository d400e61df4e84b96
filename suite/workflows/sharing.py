"""What runs that begin alike have saved each other, and what the states that they keep for it take."""

from __future__ import annotations

from collections.abc import Mapping

from suite.counting import counted
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.workflows.progress import Watcher

MB = 1e6
NOTICED = 0.1  # of what the runs take on disk: from there on states that nobody used are told


def say_shared(views: Mapping[str, ValidationView], store: RunStore, watcher: Watcher, *, is_optional: bool) -> None:
    """One sentence on a command's runs; ``views`` has the last one of each, by run id.

    Args:
        is_optional: sharing can be switched off where the command's settings stand; else states that nobody used are not told.
    """
    took = [view for view in views.values() if view.borrowed_seconds > 0]
    states = sum(store.spare_state_bytes(run_id) for run_id in views)
    if took:
        spent, saved = sum(view.wall_seconds for view in views.values()), sum(view.borrowed_seconds for view in took)
        runs = f"{len(took)} of {counted(len(views), 'run')}"
        watcher.say(
            f"sharing: {runs} went on from what another had learned, which saved {saved:.0f} of {spent:.0f} seconds; the states kept for "
            f"that take {states / MB:.1f} MB."
        )
    elif is_optional and states > NOTICED * sum(store.size(run_id) for run_id in views):
        watcher.say(
            f"sharing: no run could go on from another; the states kept for that take {states / MB:.1f} MB, 'sharing: false' keeps none."
        )
