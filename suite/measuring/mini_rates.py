"""Learning rates and budgets of the embedded streams: a sweep for each method on validation data, then test scores at the best rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from suite.config import RunConfig
from suite.errors import SuiteError, require_known
from suite.leaderboard.selection import metric_value
from suite.leaderboard.table import with_spread
from suite.measuring.rate_grid import RateGrid, validation_score
from suite.runs.record import Record
from suite.tuning.run_settings import RunSettings
from suite.workflows.comparing import able_runs
from suite.workflows.configs import run_config, settings_for
from suite.workflows.demonstration import FITTED
from suite.workflows.places import DATA
from suite.workflows.progress import Watcher
from trainables.run import RunContext, execute

IMAGES = ("lora", "olora", "codyra", "replay", "wise-ft", "ewc", "inflora", "sdlora", "lwf", "moe-adapters", "l2p", "finetune")
TEXTS = ("lora", "olora", "codyra", "replay", "ewc", "treelora")
SWEPT: Mapping[str, tuple[str, ...]] = MappingProxyType({"mini-mtil": IMAGES, "mini-xtail": IMAGES, "mini-trace": TEXTS})
CHOOSES = MappingProxyType({"mini-mtil": "zscl.last", "mini-xtail": "zscl.last", "mini-trace": "trace.op"})
SHOWN = MappingProxyType(
    {
        **dict.fromkeys(("mini-mtil", "mini-xtail"), ("zscl.transfer", "zscl.last", "codyra.forgetting")),
        "mini-trace": ("trace.op", "trace.bwt", "learning_accuracy"),
    }
)
GRID = RateGrid(factor=2.0, largest=7)
UNTOUCHED = "zero-shot"
FITTED_STEPS, STEPS_OF_A_LEVEL = 60, 3  # of CoDyRA's fitted threshold levels; smaller budgets have fewer levels


@dataclass(frozen=True)
class Asked:
    """What is swept.

    Attributes:
        seeds: the first one chooses the rates; all run at the best.
        benchmarks, methods: None = ``mini-xtail``, and the methods that ``SWEPT`` has for a stream.
        budgets: further numbers of steps per task, run with the first seed at the rate that is best at the stream's own number.
        settings: as of ``compare``, for every run.
    """

    seeds: Sequence[int]
    benchmarks: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    budgets: Sequence[int] = ()
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class Sweep:
    """One method on one stream.

    Attributes:
        rate: the learning rate with the best validation score.
        tried: learning rate -> validation score of the first seed, in %; minus infinity where the run diverged.
        best: record of every seed at that rate.
        budgets: number of steps -> validation score at the best rate.
    """

    method: str
    rate: float
    tried: Mapping[float, float]
    best: Sequence[Record]
    budgets: Mapping[int, float]


def rate_tables(asked: Asked, out: Path, watcher: Watcher, say: Callable[[str], None]) -> str:
    """Markdown for each stream: what was tried, test scores at the best rate, and validation scores by budget if asked for.

    Args:
        out: runs are stored below it; the same call takes those that are finished from there.
        say: told of every run before it begins.

    Raises:
        SuiteError: a name that is not known, or settings that a run cannot begin with, before anything is trained.
    """
    benchmarks = asked.benchmarks or ("mini-xtail",)
    require_known("embedded stream", benchmarks, SWEPT, where="dev perf mini --rates")
    if UNTOUCHED in (asked.methods or ()):
        raise SuiteError(f"dev perf mini --rates: {UNTOUCHED} has no learning rate and is shown in any case; leave it out.")
    streams = [_Stream(name, asked, RunContext(out, DATA, "cpu"), say) for name in benchmarks]
    work = {stream: asked.methods or SWEPT[stream.name] for stream in streams}
    budgets = (None, *asked.budgets)
    configs = [stream.config(method, steps=steps) for stream in streams for method in work[stream] for steps in budgets]
    able_runs(configs, RunSettings(out, DATA, "cpu"), watcher, leaves_out=False)
    parts = []
    for stream, methods in work.items():
        sweeps = [stream.sweep(method) for method in methods]
        parts += [_tried_table(sweeps), _test_table(sweeps, stream)]
        parts += [_budget_table(sweeps)] if asked.budgets else []
    return "\n\n".join(parts)


@dataclass(frozen=True, eq=False)
class _Stream:
    """The runs on one stream."""

    name: str
    asked: Asked
    run_context: RunContext
    say: Callable[[str], None]

    def config(self, method: str, *, rate: float | None = None, seed: int | None = None, steps: int | None = None) -> RunConfig:
        """The stream's own rate and budget and the first seed where none is given."""
        pairs = [*FITTED.get(method, []), *settings_for(method, list(self.asked.settings))]
        pairs += [] if rate is None else [f"training.lr={rate!r}"]
        pairs += [] if steps is None else [f"training.steps={steps}", *_levels(method, steps)]
        return run_config(self.name, method=method, seed=self.asked.seeds[0] if seed is None else seed, settings=pairs)

    def record(self, config: RunConfig) -> Record:
        training = config.training
        words = f"{self.name} {config.method.name}, lr {training.lr:g}, {training.steps} steps, seed {config.seed}"
        self.say(words)
        return execute(config, self.run_context)

    def score(self, record: Record) -> float:
        """What rates and budgets are judged by."""
        return validation_score(record, CHOOSES[self.name])

    def sweep(self, method: str) -> Sweep:
        own = self.config(method).training.lr
        records = {own: self.record(self.config(method))}
        if not any(result.costs.steps for result in records[own].results):
            raise SuiteError(f"dev perf mini --rates: {method} takes no steps, so it has no learning rate; leave it out.")
        tried = {own: self.score(records[own])}
        while wanted := GRID.next_rates(tried):
            records |= {rate: self.record(self.config(method, rate=rate)) for rate in wanted}
            tried |= {rate: self.score(records[rate]) for rate in wanted}
        rate = max(tried, key=tried.__getitem__)
        others = [self.record(self.config(method, rate=rate, seed=seed)) for seed in self.asked.seeds[1:]]
        budgets = {steps: self.score(self.record(self.config(method, rate=rate, steps=steps))) for steps in self.asked.budgets}
        return Sweep(method, rate, tried, [records[rate], *others], budgets)


def _levels(method: str, steps: int) -> list[str]:
    """A budget that is too small for the fitted threshold levels has fewer."""
    return [f"method.kappa_levels={steps // STEPS_OF_A_LEVEL}"] if method == "codyra" and steps < FITTED_STEPS else []


def _tried_table(sweeps: Sequence[Sweep]) -> str:
    """Validation score by learning rate; empty where a rate was not tried."""
    rates = sorted({rate for sweep in sweeps for rate in sweep.tried})
    rows = [[sweep.method, *(_cell(sweep.tried.get(rate)) for rate in rates)] for sweep in sweeps]
    return _markdown(["method", *(f"{rate:g}" for rate in rates)], rows)


def _test_table(sweeps: Sequence[Sweep], stream: _Stream) -> str:
    """Test scores at the best rate, mean and standard deviation over the seeds."""
    names = SHOWN[stream.name]
    untouched = [stream.record(stream.config(UNTOUCHED))]
    rows = [[UNTOUCHED, "", *_means(untouched, names)]]
    rows += [[sweep.method, f"{sweep.rate:g}", *_means(sweep.best, names)] for sweep in sweeps]
    return _markdown(["method", "lr", *names], rows)


def _budget_table(sweeps: Sequence[Sweep]) -> str:
    """Validation score by steps per task, at one rate."""
    budgets = list(sweeps[0].budgets)
    rows = [[sweep.method, f"{sweep.rate:g}", *(_cell(sweep.budgets[steps]) for steps in budgets)] for sweep in sweeps]
    return _markdown(["method", "lr", *(f"{steps} steps" for steps in budgets)], rows)


def _means(records: Sequence[Record], names: Sequence[str]) -> list[str]:
    return [mean_text([metric_value(record, name) for record in records]) for name in names]


def mean_text(values: Sequence[float]) -> str:
    """``53.1``, or ``53.1 ± 0.4`` (sample standard deviation) of several; ``-`` where one is not defined."""
    held = np.array(values)
    return with_spread(float(held.mean()), float(held.std(ddof=1)) if len(held) > 1 else math.nan)


def _cell(value: float | None) -> str:
    return "" if value is None else "diverged" if value == -math.inf else f"{value:.1f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
