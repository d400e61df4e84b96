"""Hand a sweep or a tuning to a Ray cluster elsewhere, as a job."""

from __future__ import annotations

import re
import secrets
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from suite.errors import ConfigError
from suite.signals import CTRL_C_CODE
from suite.tracking.trackers import tracker_entry, tracker_for
from suite.tuning import submission
from suite.tuning.outside_packages import outside_entries, outside_files
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_config import TuneConfig
from suite.tuning.working_folder import build_working_folder, runtime_environment
from suite.workflows.places import folder_named
from suite.workflows.progress import QUIET, Watcher
from suite.workflows.sweeping import read_sweep
from suite.workflows.tune_files import is_tuning, tune_config

# All that reaches a job without being asked for; nothing is taken over from the environment here.
VARIABLES = {"COLUMNS": "140", "RAY_USAGE_STATS_ENABLED": "0"}


def submit(
    file: Path | str,
    address: str,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    out: str | None = None,
    data_root: str | None = None,
    tracking: str | None = None,
    variables: Sequence[str] = (),
    python: str = "python",
    own_environment: bool = False,
    follow: bool = True,
    watcher: Watcher = QUIET,
) -> int:
    """Submit the file of a sweep or of a tuning with the code of this installation, follow the job's log, and return the job's exit code.

    Args:
        file: of the sweep or the tuning.
        address: the cluster's dashboard, ``http://HEAD:8265``.
        resume, accept_changes: as in ``suite.workflows.sweeping.sweep``; the file of a tuning may not change.
        out, data_root, tracking: as the job's nodes see them; None = the defaults there.
        variables: ``NAME=VALUE`` for the job's processes; everybody who sees the dashboard sees them.
        python: the cluster's Python that has the suite's libraries.
        own_environment: use what is installed on the cluster instead of installing ``requirements.lock`` for the job.
        follow: wait for the job's end; otherwise 0 is returned as soon as the job is handed over.

    Raises:
        SuiteError: a mistake in the file or in a place, an address where no dashboard answers, a job that was refused.
    """
    file = Path(file)
    for place in (out, data_root):
        if place is not None:
            folder_named(place)
    asked = _asked(file, accept_changes=accept_changes)
    _check_places(asked, file, tracking)
    environment = {**VARIABLES, **_read_variables(variables)}
    named = f"{asked.name}.yaml"  # without a field ``name`` it is the file's name, on the cluster too
    given = {"--out": out, "--data-root": data_root, "--tracking": tracking}
    flags = {"--resume": resume, "--accept-changes": accept_changes}
    entry = [python, "-m", "suite.cli.entry", named, *(f"{key}={value}" for key, value in given.items() if value)]
    entry += [flag for flag, said in flags.items() if said]
    with tempfile.TemporaryDirectory(prefix="codyra-submit-") as scratch:
        working, runtime = Path(scratch) / "job", Path(scratch) / "runtime_env.yaml"
        working.mkdir()
        tracker = tracker_entry(tracking) if tracking else None
        outside = [*outside_entries(asked), *([tracker] if tracker is not None and tracker.package else [])]
        size = build_working_folder(working, (named, file), outside_files(outside))
        runtime_environment(runtime, environment, pinned=not own_environment)
        job = submission.Job(submission.check_address(address), f"codyra-{asked.name}-{secrets.token_hex(4)}")
        command = job.submit_command(working, runtime, entry, wait=follow)
        source = "of the cluster" if own_environment else "from requirements.lock"
        for owner in sorted({entry.owner for entry in outside}):
            watcher.say(f"{owner} travels along; libraries that it needs beside the suite's must be installed on the cluster")
        watcher.say(f"working folder {size / 2**20:.1f} MiB, environment {source}\n$ {shlex.join(command)}")
        try:
            return submission.submit(job, command, watcher.say, follow=follow)
        except KeyboardInterrupt:
            return CTRL_C_CODE


def _asked(file: Path, *, accept_changes: bool) -> StudyConfig | TuneConfig:
    if not is_tuning(file):
        return read_sweep(file)
    if accept_changes:
        raise ConfigError(f"--accept-changes: '{file}' is a tuning, whose file may not change once it has begun; leave it out.")
    return tune_config(file)


def _check_places(asked: StudyConfig | TuneConfig, file: Path, tracking: str | None) -> None:
    """Refuse places that mean something else on the cluster, or vanish there with the job's working folder."""
    start = asked.warm_start if isinstance(asked, StudyConfig) else None
    if start is not None and not start.study.is_absolute():
        raise ConfigError(f"{file}: warm_start.study: '{start.study}' is relative; give the folder's full path on the cluster.")
    place = None if tracking is None else tracker_for(tracking, Path()).local_place(tracking)
    if tracking and place is not None and not place.is_absolute():
        raise ConfigError(
            f"--tracking: '{tracking}' is a relative place, lost with the job; write the full path as the cluster sees it, such as "
            f"'{tracking.removesuffix(str(place))}/shared/{place}', or http://HOST:PORT."
        )


def _read_variables(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigError(f"--env: '{pair}' is no variable; write it as NAME=VALUE.")
        found[name] = value
    return found
