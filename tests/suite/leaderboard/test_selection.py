"""Which trial a study's row shows: hand-made matrices on which every rule chooses another one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from suite.errors import ConfigError
from suite.leaderboard.selection import RULES, select_trials
from suite.runs.record import Cells, Record
from suite.tuning.choosing import rule_text

START = [10.0, 10.0]
# Two tasks; rows after task 1 and 2. Validation and test disagree on purpose.
TRIALS: dict[str, tuple[Cells, Cells]] = {
    "keeps": ([START, [70.0, 10.0], [68.0, 70.0]], [START, [60.0, 10.0], [60.0, 60.0]]),  # best at the end
    "learns": ([START, [75.0, 10.0], [20.0, 90.0]], [START, [60.0, 10.0], [30.0, 70.0]]),  # best when just learned
    "early": ([START, [80.0, 10.0], [20.0, 20.0]], [START, [60.0, 10.0], [40.0, 40.0]]),  # best on the first task
    "lucky": ([START, [50.0, 10.0], [50.0, 50.0]], [START, [60.0, 10.0], [66.0, 68.0]]),  # best on test alone
}


@pytest.fixture
def trials(make_record: Callable[..., Record]) -> list[Record]:
    return [
        make_record(
            tasks=["t1", "t2"], rows=test, validation=validation, run_id=name, settings_hash=name, study="s", trial=number
        )
        for number, (name, (validation, test)) in enumerate(TRIALS.items())
    ]


@pytest.mark.parametrize(
    ("rule", "chosen", "oracle_gap"),
    [("two-phase", "keeps", 7.0), ("current-task", "learns", 17.0), ("first-task", "early", 27.0), ("oracle", "lucky", 0.0)],
)
def test_every_rule_chooses_by_what_it_may_read(rule: str, chosen: str, oracle_gap: float, trials: list[Record]) -> None:
    found = select_trials(trials, rule)
    assert list(found) == [chosen]
    assert found[chosen].trials == 4
    assert found[chosen].rule.startswith(rule)
    assert found[chosen].oracle_gap == pytest.approx(oracle_gap)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"oracle"}))
def test_no_rule_but_the_oracle_reads_a_test_score(rule: str, trials: list[Record]) -> None:
    """Whatever the test matrices say, the choice stays."""
    turned = [
        record.model_copy(update={"test": [[100.0 - (cell or 0) for cell in row] for row in record.test]}) for record in trials
    ]
    assert list(select_trials(turned, rule)) == list(select_trials(trials, rule))
    assert list(select_trials(turned, "oracle")) != list(select_trials(trials, "oracle"))


def test_the_sweep_file_names_the_rule(trials: list[Record]) -> None:
    assert list(select_trials(trials)) == ["keeps"]
    named = [record.model_copy(update={"selection": "first-task"}) for record in trials]
    assert list(select_trials(named)) == ["early"]


def test_the_objective_of_a_tuning_chooses(trials: list[Record]) -> None:
    """Its records name the metric beside the rule: "lucky" forgets least. A study that reused every run is read by the same rule."""
    named = [record.model_copy(update={"selection": rule_text("two-phase", "codyra.forgetting")}) for record in trials]
    found = select_trials(named)
    assert list(found) == ["lucky"]
    assert found["lucky"].rule == "two-phase of codyra.forgetting (whole validation matrix)"
    reused = [record.model_copy(update={"study": "gone", "reused_by": {"s": number}}) for number, record in enumerate(named)]
    assert list(select_trials(reused)) == ["lucky"]
    assert list(select_trials(named, "first-task")) == ["early"]
    same = [record.model_copy(update={"selection": rule_text("two-phase", "trace.op")}) for record in trials]
    assert select_trials(same)["keeps"].rule == "two-phase (whole validation matrix)"
    gone = [record.model_copy(update={"selection": rule_text("two-phase", "outside.metric")}) for record in trials]
    assert list(select_trials(gone)) == ["keeps"]


def test_a_reused_run_is_a_trial_of_every_study_that_asked_for_it(trials: list[Record]) -> None:
    """The first study's rule is its own; the run of a comparison counts in the study that reused it."""
    keeps, learns, early, lucky = trials
    runs = [
        keeps.model_copy(update={"study": None, "trial": None, "reused_by": {"late": 3}}),
        learns.model_copy(update={"study": "other", "selection": "first-task", "reused_by": {"late": 0}}),
        early.model_copy(update={"study": "other", "selection": "first-task"}),
        lucky.model_copy(update={"study": "late"}),
    ]
    found = select_trials(runs)
    assert {name: selection.trials for name, selection in found.items()} == {"keeps": 3, "early": 2}
    assert found["keeps"].rule.startswith("two-phase")


def test_seeds_count_by_their_mean_and_unfinished_trials_do_not(
    make_record: Callable[..., Record],
) -> None:
    def run(name: str, seed: int, last: float, status: str = "finished") -> Record:
        rows = [START, [60.0, 10.0], [last, last]]
        return make_record(
            tasks=["t1", "t2"],
            rows=rows,
            validation=rows,
            seed=seed,
            run_id=f"{name}{seed}",
            settings_hash=name,
            study="s",
            status=status,
        )

    records = [run("a", 0, 90), run("a", 1, 30), run("b", 0, 70), run("b", 1, 70), run("c", 0, 99), run("c", 1, 99, "stopped")]
    found = select_trials(records)
    assert sorted(found) == ["b0", "b1"]
    assert found["b0"].trials == 2


def test_a_validation_cell_that_was_not_measured_does_not_count_as_zero(make_record: Callable[..., Record]) -> None:
    """Nothing is known of the first trial's second task: it is neither 0 nor left out of the mean."""
    cells: dict[str, list[float | None]] = {"unknown": [99.0, None], "low": [20.0, 10.0], "lower": [10.0, 10.0]}
    records = [
        make_record(
            tasks=["t1", "t2"], rows=[START, [first, 10.0], [first, second]], run_id=name, settings_hash=name, study="s"
        )
        for name, (first, second) in cells.items()
    ]
    assert list(select_trials(records, "current-task")) == ["low"]


def test_unknown_rule_is_named(trials: list[Record]) -> None:
    with pytest.raises(ConfigError, match="'orakle' is not a selection rule.*nearest: 'oracle'"):
        select_trials(trials, "orakle")
