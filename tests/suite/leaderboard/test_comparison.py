"""Rows against rows: levels held under a null, differences seen, nothing paired that must not be."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import ttest_rel

from suite.errors import DataError, SuiteError
from suite.leaderboard.comparison import Contestant, against_best, compare, contestant, pairwise_frame, ranks_over_tasks
from suite.leaderboard.ranking import board, row_labels, with_standing
from suite.leaderboard.runs import RunSet
from suite.leaderboard.significance import groups_of_rows, rank_table, variance_frame
from suite.runs.record import Record

TRIALS = 2000
LEVEL, SLACK = 0.05, 0.015  # three standard errors of 2000 trials: a right test fails here once in 370 seeds


def row(label: str, scores: dict[int, list[np.ndarray]]) -> Contestant:
    tasks = tuple(f"t{task}" for task in range(len(next(iter(scores.values())))))
    return Contestant(label, tasks, {(seed, tasks): found for seed, found in scores.items()}, ("same",))


def null_pair(draws: np.random.Generator, *, seeds: int, seed_spread: float) -> tuple[Contestant, Contestant]:
    """Two rows of equal expectation: shared difficulty per example, a shift per row, seed and task, 0/1 outcomes."""
    difficulty = draws.beta(1, 1, (4, 100))
    rows = []
    for label in ("a", "b"):
        shift = draws.normal(0, seed_spread, (seeds, 4, 1))
        right = draws.random((seeds, 4, 100)) < np.clip(difficulty + shift, 0, 1)
        rows.append(row(label, {seed: list(np.where(right[seed], 100.0, 0.0)) for seed in range(seeds)}))
    return rows[0], rows[1]


def alarms(seeds: int, seed_spread: float) -> float:
    draws = np.random.default_rng(7)
    pairs = (null_pair(draws, seeds=seeds, seed_spread=seed_spread) for _ in range(TRIALS))
    return float(np.mean([compare(*pair, resamples=20).p < LEVEL for pair in pairs]))


def test_false_alarms_of_one_seed_over_new_examples() -> None:
    assert abs(alarms(1, 0.0) - LEVEL) <= SLACK


@pytest.mark.parametrize(("seeds", "seed_spread"), [(3, 0.0), (3, 0.02), (3, 0.1), (5, 0.05)])
def test_false_alarms_of_several_seeds_never_exceed_the_level(seeds: int, seed_spread: float) -> None:
    assert alarms(seeds, seed_spread) <= LEVEL + SLACK


def test_one_seed_cannot_speak_for_others() -> None:
    """Why the table says over what a difference was tested: seeds that move a task by 10 points fool one seed."""
    assert alarms(1, 0.1) > 2 * LEVEL


def test_one_task_and_seed_is_the_paired_t_test() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.normal(50, 10, (2, 40))
    found = compare(row("a", {0: [first]}), row("b", {0: [second]}))
    assert found.p == pytest.approx(ttest_rel(first, second).pvalue)
    assert found.mean == pytest.approx((first - second).mean())
    assert found.over == "examples"


def test_orders_of_one_seed_are_one_unit() -> None:
    """A seed's orders share what it draws: six runs of three seeds are three units, and two orders of one seed say nothing of seeds."""
    per_run = {(0, "ab"): 3.0, (0, "ba"): 4.0, (1, "ab"): 5.0, (1, "ba"): 7.0, (2, "ab"): 10.0, (2, "ba"): 12.0}
    scores = {(seed, tuple(order)): [np.full(50, 60.0 + by)] for (seed, order), by in per_run.items()}
    first = Contestant("a", ("t",), scores, ("same",))
    second = Contestant("b", ("t",), {repeat: [np.full(50, 60.0)] for repeat in scores}, ("same",))
    found = compare(first, second)
    assert found.p == pytest.approx(ttest_rel([3.5, 6.0, 11.0], [0.0] * 3).pvalue)
    assert found.over == "examples and 3 seeds"
    alone = Contestant("a", ("t",), {repeat: scores[repeat] for repeat in list(scores)[:2]}, ("same",))
    assert (compare(alone, second).mean, compare(alone, second).over) == (3.5, "examples")


def test_without_spread_over_examples_seeds_decide() -> None:
    """Every example differs by the same amount per seed: the t test over the seeds' differences."""
    per_seed = {0: 3.0, 1: 5.0, 2: 10.0}
    first = row("a", {seed: [np.full(50, 60.0 + by)] for seed, by in per_seed.items()})
    second = row("b", {seed: [np.full(50, 60.0)] for seed in per_seed})
    found = compare(first, second)
    assert found.p == pytest.approx(ttest_rel(list(per_seed.values()), [0.0] * 3).pvalue)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx(6.0)
    assert found.over == "examples and 3 seeds"


def test_tasks_weigh_equally() -> None:
    first = row("a", {0: [np.full(10, 100.0), np.zeros(1000)]})
    second = row("b", {0: [np.zeros(10), np.zeros(1000)]})
    assert compare(first, second).mean == pytest.approx(50.0)


def test_a_row_does_not_differ_from_itself() -> None:
    one = row("a", {0: [np.array([0.0, 100.0, 100.0])]})
    found = compare(one, one)
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_rows_without_a_common_seed_are_compared_by_their_means() -> None:
    first = row("a", {0: [np.array([100.0, 0.0])], 1: [np.array([100.0, 100.0])]})
    second = row("b", {5: [np.array([0.0, 0.0])]})
    found = compare(first, second)
    assert found.mean == pytest.approx(75.0)
    assert found.over == "examples"


@pytest.mark.parametrize("other", [0.0, 100.0])
def test_one_example_of_one_seed_allows_no_test(other: float) -> None:
    """How much a single example's score would vary nobody knows: no p, no interval, and no correction of the others for it."""
    one = row("a", {0: [np.array([100.0]), np.array([100.0, 0.0, 100.0])]})
    found = compare(one, row("b", {0: [np.array([other]), np.array([0.0, 0.0, 100.0])]}))
    assert found.mean == pytest.approx((100.0 - other + 100.0 / 3) / 2)
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))
    assert found.over == "nothing: a task has one example"


def test_rows_that_cannot_be_tested_leave_the_others_as_they_are() -> None:
    """Only runs of a third seed pair the best row with the lonely one, so that two pairs have a test and one has none."""
    draws = np.random.default_rng(3)
    one = row("a", {seed: [np.array([90.0 + seed])] for seed in (0, 1, 2)})
    two = row("b", {seed: [np.array([60.0 + draws.normal()])] for seed in (0, 1)})
    lonely = row("c", {2: [np.array([50.0])]})
    frame = pairwise_frame([one, two, lonely])
    assert frame["p"].isna().tolist() == frame["p holm"].isna().tolist() == [False, True, True]
    assert frame["p holm"][0] == frame["p"][0]
    found = against_best([one, two, lonely])
    assert found["b"] == compare(one, two).p
    assert math.isnan(found["c"])


def test_other_examples_are_refused() -> None:
    first = row("a", {0: [np.zeros(3)]})
    second = Contestant("b", first.tasks, first.scores, ("other",))
    with pytest.raises(DataError, match="not judged on the same examples"):
        compare(first, second)
    with pytest.raises(DataError, match="not judged on the same examples"):
        against_best([first, second])


def test_unfinished_runs_and_missing_outcomes_are_refused(
    make_record: Callable[..., Record], make_runs: Callable[..., RunSet]
) -> None:
    with pytest.raises(DataError, match="has no outcomes after its last task"):
        contestant("x", [(make_record(), {})])
    runs = make_runs({"codyra": 0.5})
    stopped = runs.records[0].model_copy(update={"status": "stopped"})
    with pytest.raises(DataError, match="has no outcomes"):
        contestant("x", [(stopped, runs.last_outcomes(runs.records[0]))])


def test_pairs_are_corrected_over_all_and_mcnemar_needs_one_seed(make_runs: Callable[..., RunSet]) -> None:
    ((title, rows),) = groups_of_rows(make_runs({"a": 0.8, "b": 0.5, "c": 0.52}))
    frame = pairwise_frame(rows)
    assert title.startswith("b (order I)")
    assert len(frame) == 3
    assert (frame["p holm"] >= frame["p"]).all()
    assert (frame["mcnemar holm"] >= frame["mcnemar p"]).all()
    assert frame["low"].le(frame["difference"]).all()
    assert frame["high"].ge(frame["difference"]).all()
    ((_, several),) = groups_of_rows(make_runs({"a": 0.8, "b": 0.5}, seeds=2))
    assert pairwise_frame(several)["mcnemar p"].isna().all()
    with pytest.raises(DataError, match="name at least two"):
        pairwise_frame(rows[:1])


def test_the_best_is_marked_with_what_cannot_be_told_from_it(make_runs: Callable[..., RunSet]) -> None:
    frame = board(make_runs({"good": 0.8, "bad": 0.5, "same": 0.8}, seeds=3))
    standing = dict(zip(frame["method"], frame["standing"], strict=True))
    assert sorted(standing[name] for name in ("good", "same")) == ["best", "not separable"]
    assert standing["bad"] == "behind"
    p_values = dict(zip(frame["method"], frame["p_vs_best"], strict=True))
    assert p_values["bad"] < LEVEL <= min(p_values["good"], p_values["same"])


def test_a_row_that_cannot_be_tested_is_not_said_to_be_behind(make_runs: Callable[..., RunSet]) -> None:
    frame = board(make_runs({"good": 1.0, "bad": 0.0}, examples=1))
    assert list(frame["standing"]) == ["best", "not separable"]
    assert math.isnan(frame["p_vs_best"][1])


def test_settings_whose_hashes_begin_alike_are_different_rows(make_runs: Callable[..., RunSet]) -> None:
    runs = make_runs({"good": 0.8, "bad": 0.3})
    config = {**runs.records[0].config, "method": {"name": "codyra"}}
    hashes = ("aaaaaa11", "aaaaaa22")
    records = [
        record.model_copy(update={"config": config, "settings_hash": found})
        for record, found in zip(runs.records, hashes, strict=True)
    ]
    frame = board(RunSet(records, runs.loaders))
    assert list(frame["standing"]) == ["best", "behind"]
    assert row_labels(frame) == ["codyra aaaaaa11 v", "codyra aaaaaa22 v"]


def test_rows_of_other_data_or_without_outcomes_are_not_marked(
    make_runs: Callable[..., RunSet], make_record: Callable[..., Record]
) -> None:
    runs = make_runs({"good": 0.8})
    alone = board(RunSet([*runs.records, make_record("none")], runs.loaders))
    assert set(alone["standing"]) == {""}
    other = make_runs({"bad": 0.5}, item_digests={"test": ["x", "y", "z"], "validation": ["x", "y", "z"]})
    frame = board(RunSet([*runs.records, *other.records], {**runs.loaders, **other.loaders}))
    assert set(frame["standing"]) == {""}


def test_ranks_over_tasks_put_the_best_first(make_runs: Callable[..., RunSet]) -> None:
    ((_, rows),) = groups_of_rows(make_runs({"a": 0.9, "b": 0.6, "c": 0.3}, tasks=6))
    frame, note = rank_table(rows)
    assert [str(name).split()[0] for name in frame["row"]] == ["a", "b", "c"]
    assert list(frame["mean rank"]) == [1.0, 2.0, 3.0]
    assert frame["p against first"].is_monotonic_decreasing
    assert frame["p against first"].iloc[0] == 1.0
    assert frame["p against first"].iloc[-1] < 0.05
    assert "over 6 tasks" in note
    with pytest.raises(SuiteError, match="at least 2 tasks"):
        ranks_over_tasks(rows[:2])


def test_variance_is_split_into_seed_and_order(make_record: Callable[..., Record]) -> None:
    seeds, orders = {0: 0.0, 1: 2.0}, {"I": 0.0, "II": 6.0}
    names = {"I": ["t1", "t2", "t3"], "II": ["t3", "t2", "t1"]}
    records = []
    for seed, by_seed in seeds.items():
        for order, by_order in orders.items():
            rows = [[60.0 + by_seed + by_order] * 3 for _ in range(4)]
            config = make_record(seed=seed).config
            config = {**config, "benchmark": {"name": "b", "order": order}}
            records.append(
                make_record("m", seed, rows, tasks=names[order], setting={"order": order}, config={**config, "seed": seed})
            )
    (found,) = variance_frame(records).to_dict("records")
    assert found["runs"] == 4
    assert found["seed"] == pytest.approx(2.0)
    assert found["order"] == pytest.approx(18.0)
    assert found["rest"] == pytest.approx(0.0)
    (part,) = variance_frame(records[:3]).to_dict("records")
    assert part["runs"] == 2
    assert variance_frame(records[:1]).empty


def test_nothing_to_compare_is_said(make_runs: Callable[..., RunSet]) -> None:
    with pytest.raises(DataError, match="no two finished rows judged on the same examples among 1 run"):
        groups_of_rows(make_runs({"a": 0.5}))


def test_marks_survive_an_empty_frame() -> None:
    frame = board(RunSet([]))
    assert frame.empty
    assert with_standing(frame, [], lambda record: {}).empty
