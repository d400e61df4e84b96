"""All pairs of a table at once, against the plain way of testing one pair after the other."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, t

import suite.leaderboard.paired as paired
from suite.leaderboard.comparison import Contestant, compare, pairwise_frame

TASKS = ("a", "b", "c")
SIZES = (9, 40, 17)


def row(label: str, draws: np.random.Generator, runs: list[tuple[int, str]], *, graded: bool = False) -> Contestant:
    def score(size: int) -> np.ndarray:
        return draws.uniform(0, 100, size) if graded else np.where(draws.random(size) < 0.6, 100.0, 0.0)

    return Contestant(label, TASKS, {(seed, tuple(order)): [score(n) for n in SIZES] for seed, order in runs}, ("same",))


def board() -> list[Contestant]:
    """Rows of one seed, of three, of one seed in two orders, of a seed that nobody else has; right or wrong, and graded."""
    draws = np.random.default_rng(4)
    three = [(0, "abc"), (1, "abc"), (2, "abc")]
    runs = [three[:1], three[:1], three[:1], three, three, [(0, "abc"), (0, "cba")], [(0, "cba"), (7, "abc")], [(9, "abc")]]
    return [row(f"r{place}", draws, some, graded=place in (2, 4)) for place, some in enumerate(runs)]


def plain_p(first: Contestant, second: Contestant) -> tuple[float, float]:
    """Difference and p by the formulas of ``compare``, for one pair and without shared sums."""
    shared = sorted(set(first.scores) & set(second.scores))
    tasks = []
    for task in range(len(TASKS)):
        if shared:
            by_seed: dict[int, list[np.ndarray]] = {}
            for run in shared:
                by_seed.setdefault(run[0], []).append(first.scores[run][task] - second.scores[run][task])
            tasks.append(np.stack([np.mean(found, axis=0) for found in by_seed.values()]))
        else:
            one, other = (np.mean([runs[task] for runs in row.scores.values()], axis=0) for row in (first, second))
            tasks.append((one - other)[None, :])
    count, seeds = len(tasks), len(tasks[0])
    mean = float(np.mean([task.mean() for task in tasks]))
    parts = [task.mean(axis=0).var(ddof=1) / task.shape[1] / count**2 for task in tasks]
    examples = sum(parts)
    freedom = examples**2 / sum(part**2 / (task.shape[1] - 1) for part, task in zip(parts, tasks, strict=True))
    variance = examples
    if seeds > 1:
        over_seeds = np.mean([task.mean(axis=1) for task in tasks], axis=0).var(ddof=1) / seeds
        rest = 0.0
        for task in tasks:
            left = task - task.mean(axis=0) - task.mean(axis=1, keepdims=True) + task.mean()
            rest += (left**2).sum() / ((seeds - 1) * (task.shape[1] - 1)) / task.size / count**2
        variance = max(examples, over_seeds, examples + over_seeds - rest)
        freedom = max(variance**2 / (examples**2 / freedom + over_seeds**2 / (seeds - 1)), seeds - 1)
    return mean, float(2 * t.sf(abs(mean) / math.sqrt(variance), freedom))


@pytest.mark.parametrize("cells", [4_000_000, 200])
def test_every_pair_is_tested_as_if_it_were_alone(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "CHUNK_CELLS", cells)  # few cells: several blocks per row
    rows = board()
    frame = pairwise_frame(rows)
    for (first, second), found in zip(combinations(rows, 2), frame.to_dict("records"), strict=True):
        assert (found["first"], found["second"]) == (first.label, second.label)
        mean, p = plain_p(first, second)
        assert (found["difference"], found["p"]) == (pytest.approx(mean, rel=1e-12), pytest.approx(p, rel=1e-9))
        alone = compare(first, second)
        assert (alone.mean, alone.p, alone.over) == (found["difference"], found["p"], found["over"])
        assert (alone.low, alone.high) == (pytest.approx(found["low"], abs=1e-9), pytest.approx(found["high"], abs=1e-9))
        assert found["low"] < mean < found["high"]
        shared = set(first.scores) & set(second.scores)
        graded = {"r2", "r4"} & {first.label, second.label}
        if len(shared) == 1 and not graded:
            run = shared.pop()
            difference = np.concatenate(first.scores[run]) - np.concatenate(second.scores[run])
            wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
            mid = binomtest(wins, wins + losses).pvalue - binom.pmf(wins, wins + losses, 0.5) * (0.5 if wins == losses else 1.0)
            assert (found["only first"], found["only second"]) == (wins, losses)
            assert found["mcnemar p"] == pytest.approx(mid)
        else:
            assert math.isnan(found["mcnemar p"])
    assert {"examples", "examples and 3 seeds"} == set(frame["over"])


def test_the_interval_of_a_pair_does_not_depend_on_which_row_comes_first() -> None:
    first, second = board()[:2]
    one, other = compare(first, second), compare(second, first)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
