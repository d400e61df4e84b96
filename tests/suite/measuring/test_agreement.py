"""Agreement of a miniature with a published table: printed values read as printed, tau with its interval, disagreements by name."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest

from suite.errors import SuiteError
from suite.measuring.agreement import PAIRINGS, Pairing, agreement, printed_scores, tau_text
from suite.measuring.agreement_runs import TUNING_SEED, Asked, Cell, measure_agreement
from suite.workflows.progress import QUIET

BY_MINI = {pairing.mini: pairing for pairing in PAIRINGS}
XTAIL = BY_MINI["mini-xtail"]


def printed(pairing: Pairing) -> dict[str, float]:
    return {score.method: score.value for score in printed_scores(pairing)}


def test_printed_orders_are_those_of_the_tables() -> None:
    """Where two sources print a method, CoDyRA's page counts: LADA's table has RAIL-Primal at 81.4."""
    assert printed(BY_MINI["mini-mtil"]) == {
        **{"codyra": 78.0, "rail-primal": 77.2, "moe-adapters": 76.1, "wise-ft": 71.9},
        **{"zscl": 67.4, "lwf-vr": 66.9, "zero-shot": 65.3, "lwf": 46.5},
    }
    xtail = printed(XTAIL)
    assert {name: xtail[name] for name in ("zero-shot", "lora", "zscl", "icarl", "moe-adapters", "rail-primal", "codyra")} == {
        **{"zero-shot": 57.7, "lora": 59.4, "zscl": 63.4, "icarl": 64.0},
        **{"moe-adapters": 70.5, "rail-primal": 79.1, "codyra": 79.2},
    }
    trace = printed(BY_MINI["mini-trace"])
    assert (round(trace["lora"], 1), round(trace["olora"], 1), round(trace["codyra"], 1), len(trace)) == (29.7, 32.9, 37.5, 12)


def test_full_fine_tuning_inside_is_kept_and_sizes_are_not() -> None:
    asked = Asked((0,), settings=["training.steps=4", "codyra.rank=4"])
    configs = {
        score.method: Cell(XTAIL, score, asked, Path("references")).config(0, 0.5).resolved() for score in printed_scores(XTAIL)
    }
    assert configs["zscl"]["method"]["inner"]["name"] == configs["lwf"]["method"]["inner"]["name"] == "finetune"
    assert configs["zscl"]["references"] == {"folder": "references"}
    assert configs["moe-adapters"]["method"]["routing"] == "sample"
    assert configs["codyra"]["method"]["rank"] == 4 and configs["lora"]["method"]["rank"] == 16
    assert {fields["training"]["lr"] for fields in configs.values()} == {0.5}
    trace = BY_MINI["mini-trace"]
    lora = next(score for score in printed_scores(trace) if score.method == "lora")
    assert Cell(trace, lora, asked, Path("references")).config(0).resolved()["method"]["between"] == "carry"


def test_tau_counts_pairs_and_its_interval_is_over_seeds() -> None:
    """Six pairs; ZSCL and iCaRL change places, so five are kept and one is not: (5 - 1) / 6."""
    scores = [score for score in printed_scores(XTAIL) if score.method in ("codyra", "icarl", "zscl", "lora")]
    own = {"codyra": [80.0, 81.0, 82.0], "icarl": [60.0, 61.0, 62.0], "zscl": [62.5, 63.0, 61.0], "lora": [40.0, 50.0, 41.0]}
    found = agreement(XTAIL, scores, own, {"lora": 1e-3}, [])
    assert found.every.tau == pytest.approx(4 / 6)
    assert (found.every.low, found.every.high) == (pytest.approx(4 / 6), pytest.approx(1.0))  # seed 2 alone keeps both orders
    assert found.without.tau == pytest.approx(1 / 3) and found.without.methods == 3
    assert found.disagreements == ["icarl is printed 0.6 points above zscl, the miniature has it 1.2 below"]
    assert found.table["own rank"].to_list() == [1.0, 3.0, 2.0, 4.0]
    assert agreement(XTAIL, scores, own, {}, []).every.low == found.every.low  # the same resamples
    assert "95 % over seeds 0.67 to 1.00, 4 methods" in tau_text(found.every)


def test_one_seed_has_no_interval_and_a_tie_no_tau() -> None:
    scores = [score for score in printed_scores(XTAIL) if score.method in ("codyra", "lora")]
    found = agreement(XTAIL, scores, {"codyra": [1.0], "lora": [2.0]}, {}, [])
    assert found.every.tau == -1.0 and math.isnan(found.every.low)
    assert tau_text(found.every) == "-1.00 (one seed, no interval, 2 methods)"
    tied = agreement(XTAIL, scores, {"codyra": [1.0, 1.0], "lora": [1.0, 1.0]}, {}, [])
    assert tau_text(tied.every) == "not defined (2 methods, one order is a tie)"
    assert tau_text(tied.without) == "not defined (1 method)"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked((0,), minis=["mini-mtli"]), r"'mini-mtli' is not a miniature with a printed order; .*nearest: 'mini-mtil'"),
        (Asked((0,), methods=["loda"]), "'loda' is not a method of these tables"),
        (Asked((0,), methods=["lora"]), "no table has two of these methods"),
        (Asked((TUNING_SEED,)), "seed 1000 chooses the learning rates; compare on other seeds"),
    ],
    ids=lambda given: "" if isinstance(given, str) else str(given),
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(asked: Asked, said: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=said):
        measure_agreement(asked, tmp_path / "out", QUIET, lambda line: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_tunes_compares_and_goes_on(tmp_path: Path, terminal: ModuleType) -> None:
    words = ["dev", "perf", "mini", "--agreement", "-b", "mini-xtail", "-m", "lora", "-m", "zero-shot", "--out", "out"]
    words += ["--set=training.steps=2", "--set=benchmark.domains=[shapes,faces]", "--set=benchmark.shots=4", "--seeds"]
    terminal.run_in_terminal(terminal.suite(*words, "0"), tmp_path).require_whole()
    stored = set((tmp_path / "out" / "runs").iterdir())
    again = terminal.run_in_terminal(terminal.suite(*words, "0-1"), tmp_path)
    again.require_whole()
    assert "Kendall's tau-b" in again.text and "2 methods" in again.text
    assert len(set((tmp_path / "out" / "runs").iterdir()) - stored) == 2  # seed 1 of both methods
