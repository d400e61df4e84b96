"""How many runs may be out at a time, counted again while they go on: nodes join, leave, or are started for what waits."""

from __future__ import annotations

import time
from math import inf

from suite.tuning.cluster import fitting_runs, has_autoscaler, missing_room, place_of
from suite.tuning.run_settings import RunSettings

REFRESH_SECONDS = 2.0


class Places:
    """The places of the Ray that this process is connected to. One on this machine never changes and is asked once."""

    def __init__(self, run_settings: RunSettings) -> None:
        self._run_settings = run_settings
        self._is_cluster = place_of(run_settings.address) is not None
        self._most = 0
        self._due = -inf
        self._is_waiting = False

    def most(self) -> int:
        """Runs that may be given out and not over: as many as fit, and never more than ``concurrency``.

        One is given out where none fits, to begin on the first node that joins. Where an autoscaler starts nodes for what waits, as many
        runs wait as fit, so that a cluster doubles until it has reached its own limit.
        """
        if time.monotonic() >= self._due:
            self._most = self._count()
            self._due = time.monotonic() + REFRESH_SECONDS if self._is_cluster else inf
        return self._most

    def _count(self) -> int:
        fitting = fitting_runs(self._run_settings.resources)
        if not fitting and not self._is_waiting and self._run_settings.say:
            self._run_settings.say(f"{missing_room(self._run_settings.resources)}; waiting for nodes that fit.")
        self._is_waiting = not fitting
        waits = fitting if self._is_cluster and has_autoscaler() else 0
        most = max(1, fitting + waits)
        return min(most, self._run_settings.concurrency or most)
