"""Does a miniature order methods as the published table does? Kendall's tau-b, with an interval over the miniature's seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.counting import counted
from suite.leaderboard.ledger import order_of, published_values
from suite.leaderboard.protocols import protocol_of
from suite.metrics.searches import order_agreement
from suite.randomness import numpy_generator

CLAIMANT = "codyra"  # its printed rows are its own authors' claim, so that a second tau leaves it out
RESAMPLES = 2000
UNTOUCHED = "zero-shot"
STRUCTURE = ("method.inner.name", "method.between")


@dataclass(frozen=True)
class Pairing:
    """A miniature and the published table that it is held against.

    Attributes:
        metric: of the table and of the miniature's test matrix; tuning takes the same of the validation matrix.
        order, backbone: rows of the table.
        sources: beginnings of the sources to read, the one that counts first; a method that none of them prints is left out.
        untouched: (benchmark, metric) where the untouched backbone's value is printed, which no order and no shots change.
    """

    mini: str
    published: str
    metric: str
    order: str
    backbone: str
    sources: tuple[str, ...]
    untouched: tuple[str, str] | None = None


CLIP = "CLIP ViT-B/16"
PAGE = "Artificer-AI-Lab/CoDyRA"
PAIRINGS = (
    Pairing("mini-mtil", "mtil-5shot", "zscl.last", "I", CLIP, (PAGE,), ("mtil", "zscl.last")),
    Pairing(
        "mini-xtail", "xtail", "zscl.last", "I", CLIP, (PAGE, "Artificer-AI-Lab/MoRAM", "LADA paper"), ("xtail", "zscl.average")
    ),
    Pairing("mini-trace", "trace-500", "trace.op", "1", "LLaMA-3-1B-Instruct", (PAGE, "Artificer-AI-Lab/MoRAM")),
)


@dataclass(frozen=True)
class PrintedScore:
    """What is published of a method, on the scale of the table.

    Attributes:
        structure: what of the printed row makes another method of the same name, as ``key=value``; sizes stay those of the miniature.
    """

    method: str
    printed_as: str
    value: float
    grade: str
    structure: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tau:
    """Kendall's tau-b between printed and own order.

    Attributes:
        low, high: 95 % percentile interval over resampled seeds of the miniature; NaN with one seed. It says nothing about methods
            that are not among these, nor about the noise of the printed numbers.
    """

    tau: float
    low: float
    high: float
    methods: int


@dataclass(frozen=True, eq=False)
class Agreement:
    """One miniature against one table.

    Attributes:
        table: method, printed name, printed value and rank, own mean, spread and rank, the tuned rate, grade of the source.
        every: tau over all methods; ``without`` leaves CoDyRA's own claim out.
        disagreements: one sentence for each pair of methods in another order than printed.
        open_ends: methods whose best learning rate is an end of those tried, so that a better one may lie beyond.
    """

    pairing: Pairing
    table: pd.DataFrame
    every: Tau
    without: Tau
    disagreements: list[str]
    open_ends: Sequence[str]


def printed_scores(pairing: Pairing) -> list[PrintedScore]:
    """The printed value of every method here that the table has, from the first of the pairing's sources that prints it."""
    found: dict[str, PrintedScore] = {}
    values = _of_table(pairing.published, pairing.metric, pairing)
    for source in pairing.sources:
        for value in values:
            protocol = protocol_of(pairing.published, value["method"])
            if protocol is not None and str(value["source"]).startswith(source):
                kept = tuple(f"{key}={wanted}" for key, wanted in protocol.settings.items() if key in STRUCTURE)
                score = PrintedScore(protocol.method, value["method"], float(value["value"]), value["grade"], kept)
                found.setdefault(protocol.method, score)
    if pairing.untouched is not None:
        benchmark, metric = pairing.untouched
        for value in _of_table(benchmark, metric, pairing):
            if value["method"] == "Zero-shot":
                found.setdefault(UNTOUCHED, PrintedScore(UNTOUCHED, "Zero-shot", float(value["value"]), value["grade"]))
    return sorted(found.values(), key=lambda score: -score.value)


def _of_table(benchmark: str, metric: str, pairing: Pairing) -> list[Mapping[str, str]]:
    values = published_values(benchmark)
    chosen = values[(values["metric"] == metric) & (values["backbone"] == pairing.backbone)]
    return [row for row in chosen.to_dict("records") if order_of(row) == pairing.order]  # type: ignore[misc]


def agreement(
    pairing: Pairing,
    scores: Sequence[PrintedScore],
    own: Mapping[str, Sequence[float]],
    rates: Mapping[str, float],
    open_ends: Sequence[str],
) -> Agreement:
    """Compare the order of the methods that are in ``own``.

    Args:
        own: method -> its value for every seed, in the same order of seeds for all.
        rates: method -> learning rate that its runs took; none for a method that takes no steps.
        open_ends: methods whose rate is an end of those tried.

    Raises:
        SuiteError: fewer than two methods.
    """
    known = [score for score in scores if score.method in own]
    values = np.array([own[score.method] for score in known])
    table = pd.DataFrame(
        {
            "method": [score.method for score in known],
            "printed as": [score.printed_as for score in known],
            "printed": [score.value for score in known],
            "printed rank": _ranks([score.value for score in known]),
            "own": values.mean(axis=1),
            "own std": values.std(axis=1, ddof=1) if values.shape[1] > 1 else math.nan,
            "own rank": _ranks(list(values.mean(axis=1))),
            "lr": [rates.get(score.method, math.nan) for score in known],
            "grade": [score.grade for score in known],
        }
    )
    others = [place for place, score in enumerate(known) if score.method != CLAIMANT]
    printed = np.array([score.value for score in known])
    return Agreement(
        pairing,
        table,
        _tau(pairing, printed, values),
        _tau(pairing, printed[others], values[others]),
        _disagreements(table),
        open_ends,
    )


def _ranks(values: Sequence[float]) -> list[float]:
    """1 = largest; ties share their mean rank."""
    return list(pd.Series(values).rank(ascending=False))


def _tau(pairing: Pairing, printed: NDArray[np.float64], values: NDArray[np.float64]) -> Tau:
    """tau-b of the means over seeds; seeds are resampled for all methods together, as they share their streams."""
    count = values.shape[1]
    if len(printed) < 2:
        return Tau(math.nan, math.nan, math.nan, len(printed))
    tau = order_agreement(printed, values.mean(axis=1)).tau
    if count < 2 or math.isnan(tau):
        return Tau(tau, math.nan, math.nan, len(printed))
    random = numpy_generator("agreement", pairing.mini)
    drawn = [values[:, random.integers(0, count, count)].mean(axis=1) for _ in range(RESAMPLES)]
    taus = [order_agreement(printed, means).tau for means in drawn]
    low, high = np.nanquantile(taus, (0.025, 0.975))
    return Tau(tau, float(low), float(high), len(printed))


def _disagreements(table: pd.DataFrame) -> list[str]:
    """Pairs in another order than printed, those that are furthest apart in print first."""
    found = []
    for one, other in combinations(table.to_dict("records"), 2):
        printed, own = one["printed"] - other["printed"], one["own"] - other["own"]
        if printed * own < 0:
            first, second = (one, other) if printed > 0 else (other, one)
            sentence = (
                f"{first['method']} is printed {abs(printed):.1f} points above {second['method']}, the miniature has it "
                f"{abs(own):.1f} below"
            )
            found.append((abs(printed), sentence))
    return [sentence for _, sentence in sorted(found, key=lambda pair: -pair[0])]


def tau_text(tau: Tau) -> str:
    """``0.62 (95 % over seeds 0.43 to 0.71, 8 methods)``."""
    if math.isnan(tau.tau):
        tie = ", one order is a tie" if tau.methods > 1 else ""
        return f"not defined ({counted(tau.methods, 'method')}{tie})"
    interval = "one seed, no interval" if math.isnan(tau.low) else f"95 % over seeds {tau.low:.2f} to {tau.high:.2f}"
    return f"{tau.tau:.2f} ({interval}, {counted(tau.methods, 'method')})"
