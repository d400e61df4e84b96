"""The runs behind ``agreement``: every method of a table on its miniature, at a learning rate chosen on validation data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suite.config import RunConfig
from suite.counting import counted
from suite.data.drawn_images import DOMAINS
from suite.data.drawn_references import write_references
from suite.errors import SuiteError, require_known
from suite.leaderboard.selection import metric_value
from suite.measuring.agreement import PAIRINGS, Agreement, Pairing, PrintedScore, agreement, printed_scores
from suite.measuring.rate_grid import RateGrid, validation_score
from suite.runs.costs import run_costs
from suite.runs.record import Record
from suite.tuning.run_settings import RunSettings
from suite.workflows.comparing import able_runs, carry_runs
from suite.workflows.configs import run_config, settings_for
from suite.workflows.demonstration import FITTED
from suite.workflows.places import DATA
from suite.workflows.planning import bill_of_runs
from suite.workflows.progress import Watcher

FIRST_GRID = 3  # rates per method: its own and one on each side; further ones while the best is an end of the grid
GRID = RateGrid(factor=3.0, largest=8)
TUNING_SEED = 1000  # of the runs that choose; the runs that are compared take others
REFERENCES, PER_CLASS = "references", 4
PROBED = "lora"

Key = tuple[str, str]
"""Miniature and method."""


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        minis, methods: None = all that have a printed order.
        settings: as of ``compare``, for every run.
    """

    seeds: Sequence[int]
    minis: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A method on a miniature."""

    pairing: Pairing
    score: PrintedScore
    asked: Asked
    references: Path

    def config(self, seed: int, rate: float | None = None) -> RunConfig:
        """One run, at its own learning rate without a ``rate``; the caller's settings go before the rest."""
        method = self.score.method
        pairs = [*self.score.structure, *FITTED.get(method, [])]
        pairs += [f"references.folder={self.references}"] if method == "zscl" else []
        pairs += settings_for(method, list(self.asked.settings))
        pairs += [] if rate is None else [f"training.lr={rate!r}"]
        return run_config(self.pairing.mini, method=method, seed=seed, settings=pairs)


@dataclass
class _Carried:
    """Runs of this command so far; the same settings are carried once."""

    run_settings: RunSettings
    watcher: Watcher
    records: dict[str, Record] = field(default_factory=dict)

    def carry(self, configs: Sequence[RunConfig], title: str) -> list[Record | None]:
        """The record of each config; None for a run that died without one."""
        new = [config for key, config in {one.config_hash(): one for one in configs}.items() if key not in self.records]
        if new:
            done = carry_runs(new, self.run_settings, "none", title=title, watcher=self.watcher)
            self.records |= {run.record.config_hash: run.record for run in done.runs}
            for sentence in done.failures:
                self.watcher.say(f"failed: {sentence}")
        return [self.records.get(config.config_hash()) for config in configs]


def measure_agreement(asked: Asked, out: Path, watcher: Watcher, say: Callable[[str], None]) -> list[Agreement]:
    """Tune and run every method on every miniature; finished runs below ``out`` are reused.

    Args:
        say: told of the forecasts.

    Raises:
        SuiteError: a name that no table has, nothing to compare, or the seed that chooses among the seeds.
    """
    if TUNING_SEED in asked.seeds:
        raise SuiteError(f"dev perf mini: seed {TUNING_SEED} chooses the learning rates; compare on other seeds.")
    work = _chosen(asked)
    references = out.resolve() / REFERENCES  # workers have a folder of their own
    cells = {(one.mini, score.method): Cell(one, score, asked, references) for one, scores in work for score in scores}
    if not references.is_dir():
        write_references(references, DOMAINS, PER_CLASS)
    carried = _Carried(RunSettings(out, DATA, "cpu"), watcher)
    able_runs([cell.config(TUNING_SEED) for cell in cells.values()], carried.run_settings, watcher, leaves_out=False)
    say(_first_forecast(list(cells.values()), carried))
    rates, seconds, open_ends = _tuned(cells, carried)
    say(_second_forecast(seconds, len(asked.seeds)))
    runs = {key: [cell.config(seed, rates[key]) for seed in asked.seeds] for key, cell in cells.items()}
    carried.carry([config for several in runs.values() for config in several], "comparing")
    return [_measured(pairing, scores, runs, rates, open_ends, carried) for pairing, scores in work]


def _chosen(asked: Asked) -> list[tuple[Pairing, list[PrintedScore]]]:
    """Miniatures with the printed scores that are asked for, at least two of each."""
    require_known("miniature with a printed order", asked.minis or (), [one.mini for one in PAIRINGS], where="dev perf mini")
    work = [(one, printed_scores(one)) for one in PAIRINGS if asked.minis is None or one.mini in asked.minis]
    known = {score.method for _, scores in work for score in scores}
    require_known("method of these tables", asked.methods or (), known, where="dev perf mini")
    cut = [(one, [score for score in scores if asked.methods is None or score.method in asked.methods]) for one, scores in work]
    able = [(one, scores) for one, scores in cut if len(scores) > 1]
    if not able:
        raise SuiteError("dev perf mini: no table has two of these methods, and one alone has no order; name more.")
    return able


def _tuned(cells: Mapping[Key, Cell], carried: _Carried) -> tuple[dict[Key, float | None], dict[Key, float], list[Key]]:
    """The learning rate of each method that is best on validation data (None where no steps are taken), the seconds of that run, and
    the methods whose best rate is an end of those tried."""
    first = carried.carry([cell.config(TUNING_SEED) for cell in cells.values()], "tuning")
    tried: dict[Key, dict[float, Record | None]] = {}
    for (key, cell), record in zip(cells.items(), first, strict=True):
        if record is None or any(result.costs.steps for result in record.results):
            tried[key] = {cell.config(TUNING_SEED).training.lr: record}
    while wanted := [(key, rate) for key, runs in tried.items() for rate in GRID.next_rates(_values(cells[key], runs))]:
        found = carried.carry([cells[key].config(TUNING_SEED, rate) for key, rate in wanted], "tuning")
        for (key, rate), record in zip(wanted, found, strict=True):
            tried[key][rate] = record
    rates: dict[Key, float | None] = dict.fromkeys(cells)
    chosen: dict[Key, Record | None] = dict(zip(cells, first, strict=True))
    for key, runs in tried.items():
        values = _values(cells[key], runs)
        best = max(values, key=values.__getitem__)
        rates[key], chosen[key] = best, runs[best]
    seconds = {key: run_costs(record.results).wall_seconds for key, record in chosen.items() if record is not None}
    return rates, seconds, [key for key, runs in tried.items() if GRID.is_open(_values(cells[key], runs))]


def _values(cell: Cell, runs: Mapping[float, Record | None]) -> dict[float, float]:
    """Validation score of every learning rate; a run that has none is worse than any."""
    return {rate: validation_score(record, cell.pairing.metric) for rate, record in runs.items()}


def _first_forecast(cells: Sequence[Cell], carried: _Carried) -> str:
    """At the pace of one method, as the others have not run yet."""
    minis = {cell.pairing.mini: cell for cell in cells}
    configs = [
        run_config(mini, method=PROBED, seed=0, settings=settings_for(PROBED, list(cell.asked.settings)))
        for mini, cell in minis.items()
    ]
    bill = bill_of_runs(configs, list(minis), 1, carried.run_settings, carried.watcher)
    each = FIRST_GRID + len(cells[0].asked.seeds)
    counts = [sum(cell.pairing.mini == mini for cell in cells) * each for mini in minis]
    seconds = sum(count * one for count, one in zip(counts, bill.run_seconds, strict=True)) / bill.at_a_time
    return (
        f"{counted(len(cells), 'method')} on {counted(len(minis), 'miniature')}: about {counted(sum(counts), 'run')}, "
        f"{seconds / 60:.0f} minutes at the pace of {PROBED} with {bill.at_a_time} at a time; finished runs are reused"
    )


def _second_forecast(seconds: Mapping[Key, float], seeds: int) -> str:
    """Measured method by method while tuning, at as many runs at a time as there are cores."""
    total = sum(seconds.values()) * seeds / (os.cpu_count() or 1)
    return f"tuned; {counted(len(seconds) * seeds, 'run')} to compare: {total / 60:.0f} minutes, as long as the tuned runs took"


def _measured(
    pairing: Pairing,
    scores: Sequence[PrintedScore],
    runs: Mapping[Key, Sequence[RunConfig]],
    rates: Mapping[Key, float | None],
    open_ends: Sequence[Key],
    carried: _Carried,
) -> Agreement:
    own: dict[str, list[float]] = {}
    for score in scores:
        records = [carried.records.get(config.config_hash()) for config in runs[pairing.mini, score.method]]
        values = [math.nan if record is None else metric_value(record, pairing.metric) for record in records]
        if any(math.isnan(value) for value in values):
            carried.watcher.say(f"{pairing.mini}: {score.method} is left out, one of its runs did not finish.")
        else:
            own[score.method] = values
    tuned = {method: rate for (mini, method), rate in rates.items() if mini == pairing.mini and rate is not None}
    open_methods = [method for mini, method in open_ends if mini == pairing.mini]
    return agreement(pairing, scores, own, tuned, open_methods)
