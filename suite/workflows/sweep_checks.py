"""What a sweep is refused for before anything is trained: a space no part of which can begin."""

from __future__ import annotations

from collections.abc import Sequence

from suite.config import RunConfig
from suite.errors import ConfigError
from suite.tuning.points import spanning_points
from suite.tuning.preflight import refused_runs
from suite.tuning.run_settings import RunSettings
from suite.tuning.study_config import StudyConfig
from suite.workflows.progress import Watcher
from trainables.preflight import Refusal


def require_able(config: StudyConfig, run_settings: RunSettings, watcher: Watcher) -> None:
    """Refuse a study none of whose trials could begin; say when some part of its space could not.

    Raises:
        ConfigError: see ``trainables.preflight``.
    """
    for field, values in config.left_out().items():
        watcher.say(
            f"study '{config.name}': {field} is searched without {', '.join(map(str, values))}, which this backbone does not have."
        )
    points = spanning_points(config)
    run_settings.say = watcher.say
    with watcher.begin(f"study {config.name}: checking data, backbone and method", None):
        found = refused_runs(points, run_settings)
    able_points(config, points, found, watcher)


def able_points(
    config: StudyConfig, points: Sequence[RunConfig], found: Sequence[Refusal], watcher: Watcher
) -> list[RunConfig]:
    """Those of some ``points`` of a study's space that can begin; of the others, which were ``found``, the watcher is told.

    Raises:
        ConfigError: none can.
    """
    reasons = list(dict.fromkeys(one.reason for one in found))
    refused = {one.position for one in found}
    if len(refused) == len(points):
        raise ConfigError(f"study '{config.name}': no trial could begin: {reasons[0]}")
    for reason in reasons:
        watcher.say(
            f"study '{config.name}': trials in a part of its space will fail, as one that was drawn to try it: {reason}"
        )
    return [point for position, point in enumerate(points) if position not in refused]
