"""What ``compare`` does: carry out a list of runs on Ray, log them, show the leaderboard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from suite.cli.pictures import attach_run_pictures
from suite.cli.progress import WorkProgress
from suite.cli.run import run_config
from suite.cli.tracking import opened_sink, say_waiting
from suite.config import RunConfig
from suite.errors import ConfigError
from suite.registry import METHODS
from suite.runs.store import RunStore
from suite.runs.validation_view import ValidationView
from suite.tuning.carriage import Carriage
from suite.tuning.carry import carry_out
from suite.tuning.source import ListSource, Suggestion

SEEDS = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?")
MOST_SEEDS = 1000


def seed_list(text: str) -> list[int]:
    """``0-2`` or ``0,1,5`` or ``0-2,7`` as numbers.

    Raises:
        ConfigError: anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = SEEDS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ConfigError(f"--seeds {text[:80]}: '{part[:80]}' is not a seed or a range; write 0-2 or 0,1,5.")
        if last - first >= MOST_SEEDS:
            raise ConfigError(f"--seeds {text}: '{part}' are {last - first + 1} seeds, {MOST_SEEDS} at most; name fewer.")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def settings_for(method: str, settings: Sequence[str]) -> list[str]:
    """``--set`` pairs for one method: ``codyra.rank=8`` becomes ``method.rank=8`` for CoDyRA and is dropped for others."""
    chosen = []
    for setting in settings:
        owner, dot, rest = setting.partition(".")
        if dot and owner in METHODS:
            chosen += [f"method.{rest}"] if owner == method else []
        else:
            chosen.append(setting)
    return chosen


def comparison(benchmarks: Sequence[str], methods: Sequence[str], seeds: Sequence[int], settings: Sequence[str]) -> list[RunConfig]:
    """The runs of every method on every benchmark with every seed.

    Raises:
        ConfigError: as ``run_config`` says, in the words of a comparison.
    """
    configs = []
    for benchmark, method, seed in product(benchmarks, methods, seeds):
        try:
            configs.append(run_config(benchmark, method=method, seed=seed, settings=settings_for(method, settings)))
        except ConfigError as error:
            raise ConfigError(in_its_words(method, str(error))) from None
    return configs


def in_its_words(method: str, sentence: str) -> str:
    """A sentence about ``method.<field>`` with the key that a comparison of several methods takes, e.g. ``codyra.<field>``."""
    return re.sub(r"\bmethod\.(?=[a-z_])", f"{method}.", sentence)


def carry_list(configs: Sequence[RunConfig], carriage: Carriage, tracking: str | None, *, title: str) -> list[str]:
    """Carry out ``configs`` with progress and tracking; returns one sentence per failed run.

    Raises:
        KeyboardInterrupt: Ctrl-C came; what was finished is logged.
    """
    sink = opened_sink(tracking, carriage.out)
    source = ListSource(configs)
    with WorkProgress(title, total=len(configs)) as progress:
        ended, logged = 0, set[str]()

        def on_end(run: Suggestion, view: ValidationView | None, reason: str | None) -> None:
            nonlocal ended
            ended += 1
            progress.done(ended)

        def on_record(view: ValidationView) -> None:
            if sink is not None:
                sink.log_stored(view.run_id)
                logged.add(view.run_id)

        carriage.on_record, carriage.on_end = on_record, on_end
        whole = carry_out(source, carriage)
    if sink is not None:
        say_waiting(carriage.out)
        attach_run_pictures(sink, RunStore(carriage.out).records(sorted(logged)), carriage.out)
    if not whole:
        raise KeyboardInterrupt
    return [_failure(configs[trial].resolved(), reason) for trial, reason in source.failures.items()]


def _failure(fields: Mapping[str, Any], reason: str) -> str:
    method = fields["method"]["name"]
    return f"{fields['benchmark']['name']} {method} seed {fields['seed']}: {in_its_words(method, reason)}"


def show_board(tracking: str | None, out: Path) -> None:
    """The leaderboard on standard output."""
    from suite.cli.leaderboard import print_board

    print_board(tracking, out)
