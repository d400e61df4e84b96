"""Published tables again: the recipe of every row run, each value beside the printed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite.config import RunConfig
from suite.leaderboard.recipes import PrintedRow
from suite.runs.store import OpenRun
from suite.tuning.forecast import Bill
from suite.workflows.arguments import Count, Names, Numbers, PathGiven, SettingsGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.comparing import able_runs, carry_runs
from suite.workflows.paper_rows import Wanted, printed_rows
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.planning import bill_of_runs
from suite.workflows.progress import QUIET, Watcher

if TYPE_CHECKING:
    import pandas as pd

    from suite.tuning.run_settings import RunSettings


@dataclass(frozen=True)
class PaperTable:
    """A published table with own values.

    Attributes:
        table: one row per printed value; docs/papers.md describes the columns.
        runs: those that left a record, finished or not.
        failures: one sentence for each reason for which some failed, with all of them.
    """

    table: pd.DataFrame
    runs: list[OpenRun]
    failures: list[str]


@checked
def paper(
    table: str,
    methods: Names | None = None,
    seeds: Numbers = (0,),
    settings: SettingsGiven = (),
    *,
    orders: Names | None = None,
    backbones: Names | None = None,
    limit: Count | None = None,
    concurrency: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    tracking: TrackingGiven | None = None,
    watcher: WatcherGiven = QUIET,
) -> PaperTable:
    """Run the recipes of a published table, on a local Ray, and put each own value beside the printed one with a verdict.

    What is finished is reused; a call that was interrupted goes on where it was.

    Args:
        table: the benchmark whose tables are meant: ``xtail``, ``mtil-5shot``, ``trace`` or ``trace-500``.
        methods: of this suite; None = every row, those that cannot be run with the reason.
        settings: as in ``compare``; they go before the recipe's, and what differs from the published protocol forbids a verdict.
        orders, backbones: as they are printed, e.g. ``II`` and ``Gemma-2B-it``; None = all.
        seeds: one run of every row for each of them.
        limit: rows per split and task at most, and 4 steps per task: real data and weights are tried, no row gets a verdict.
        concurrency, out, data_root, device, tracking: as in ``compare``.

    Raises:
        SuiteError: as ``compare``; no table of this name, or nothing in it is asked for.
        KeyboardInterrupt: Ctrl-C came; what was finished is stored and logged.
    """
    from suite.leaderboard.paper import paper_frame

    rows = printed_rows(table, Wanted(methods, orders, backbones, seeds, settings, limit))
    run_settings = _carriage(results_folder(out), folder_named(data_root), device, concurrency)
    configs, left_out = _able(rows, run_settings, watcher, leaves_out=methods is None)
    done = carry_runs(configs, run_settings, tracking, title=f"paper {table}", watcher=watcher)
    frame = paper_frame(table, rows, [run.record for run in done.runs], left_out)
    return PaperTable(frame, done.runs, done.failures)


@dataclass(frozen=True)
class PaperPlan:
    """What a published table will cost.

    Attributes:
        runs: of all rows; printed rows with equal settings share theirs.
        names: of the kinds of runs, in the order of ``bill.run_seconds``: the printed rows that each stands for.
    """

    rows: Sequence[PrintedRow]
    names: Sequence[str]
    bill: Bill


@checked
def plan_paper(
    table: str,
    methods: Names | None = None,
    seeds: Numbers = (0,),
    settings: SettingsGiven = (),
    *,
    orders: Names | None = None,
    backbones: Names | None = None,
    limit: Count | None = None,
    concurrency: Count | None = None,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
    watcher: WatcherGiven = QUIET,
) -> PaperPlan:
    """What ``paper`` with the same arguments will cost, from a measured probe of one run of each recipe; nothing is trained to the end.

    Every probe is a process of its own that is spawned, so that a script that calls this needs ``if __name__ == "__main__":``.

    Raises:
        SuiteError: as ``paper``, or more than this machine has.
    """
    rows = printed_rows(table, Wanted(methods, orders, backbones, seeds, settings, limit))
    run_settings = _carriage(folder_named(out), folder_named(data_root), device, concurrency)
    configs, _ = _able(rows, run_settings, watcher, leaves_out=methods is None)
    first = [config for config in configs if config.seed == seeds[0]]
    names = [_run_name(rows, config) for config in first]
    return PaperPlan(rows, names, bill_of_runs(first, names, len(set(seeds)), run_settings, watcher))


def _able(
    rows: Sequence[PrintedRow], run_settings: RunSettings, watcher: Watcher, *, leaves_out: bool
) -> tuple[list[RunConfig], dict[str, str]]:
    """The runs of the rows, each once, that can begin; hash of the config of every other -> the reason."""
    every = list({config.config_hash(): config for row in rows for config in row.configs}.values())
    able, reasons = able_runs(every, run_settings, watcher, leaves_out=leaves_out)
    return list(able), {every[place].config_hash(): reason for place, reason in reasons.items()}


def _carriage(out: Path, data_root: Path, device: str, concurrency: int | None) -> RunSettings:
    """On GPUs a run has one to itself."""
    from suite.tuning.run_settings import RunSettings
    from trainables.device import choose_device
    from trainables.resources import Resources

    resources = Resources(gpus=1.0) if choose_device(device).type == "cuda" else Resources()
    return RunSettings(out, data_root, device, resources=resources, concurrency=concurrency)


def _run_name(rows: Sequence[PrintedRow], config: RunConfig) -> str:
    """The printed rows that a run stands for."""
    key = config.config_hash()
    behind = [row for row in rows if any(one.config_hash() == key for one in row.configs)]
    parts = [list(dict.fromkeys(getattr(row, name) for row in behind)) for name in ("published", "order", "backbone")]
    return "{}, order {}, {}".format(*(", ".join(part) for part in parts))
