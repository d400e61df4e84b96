"""Text scores against outputs of the official packages (tests/golden/trace_metric_vectors.json says which)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.benchmarks.text_scores import (
    TEXT_CONVENTIONS,
    TEXT_SCORES,
    edit_similarity,
    is_right,
    plain_literals,
    rouge_l,
    sari,
    score,
    score_examples,
)
from suite.errors import SuiteError

VECTORS = json.loads((Path(__file__).parents[2] / "golden" / "trace_metric_vectors.json").read_text(encoding="utf-8"))
TEXT = st.text(alphabet="ab c.\n<>", max_size=30)


@pytest.mark.parametrize("row", VECTORS["accuracy"], ids=repr)
def test_accuracy_rules(row) -> None:
    for convention in ("trace", "treelora"):
        assert is_right(convention, row["prediction"], row["target"]) == bool(row[convention])
        assert score("accuracy", convention, row["prediction"], row["target"], "") == 100.0 * row[convention]


def test_strict_accuracy() -> None:
    assert is_right("strict", " A\n", "A")
    assert not is_right("strict", "A.", "A")
    assert not is_right("strict", "120", "12")
    assert not is_right("strict", "", "")


@pytest.mark.parametrize("row", VECTORS["rouge_l_f"], ids=lambda row: row["hyp"])
def test_rouge_l_of_the_package(row) -> None:
    assert rouge_l(row["hyp"], row["ref"]) == pytest.approx(row["f(hyp,ref)"], abs=1e-12)
    assert rouge_l(row["ref"], row["hyp"]) == pytest.approx(row["f(ref,hyp)"], abs=1e-12)


def test_rouge_score_swaps_its_arguments() -> None:
    prediction, target = "f c d. d e c e", "d e b c. a c e f"
    assert score("rouge-l", "trace", prediction, target, "") == pytest.approx(100 * rouge_l(target, prediction))
    assert rouge_l(target, prediction) != pytest.approx(rouge_l(prediction, target), abs=0.1)


def test_treelora_newline_adds_an_empty_word_after_a_full_stop() -> None:
    prediction, target = "it passed.", "it passed"
    assert score("rouge-l", "trace", prediction, target, "") == pytest.approx(100.0, abs=1e-5)
    assert score("rouge-l", "treelora", prediction, target, "") == pytest.approx(100 * rouge_l(target, "it passed.\n"))
    assert score("rouge-l", "treelora", prediction, target, "") == pytest.approx(80.0, abs=1e-4)
    assert score("rouge-l", "treelora", "it\npassed.", target, "") == pytest.approx(100.0, abs=1e-5)


def test_a_prediction_of_full_stops_scores_zero() -> None:
    assert score("rouge-l", "trace", "...", "a b", "") == 0.0


@pytest.mark.parametrize("row", VECTORS["fuzz_ratio"], ids=lambda row: row["prediction"][:20])
def test_fuzz_ratio(row) -> None:
    assert edit_similarity(row["prediction"], row["target"]) == row["ratio"]


@pytest.mark.parametrize("row", VECTORS["py150_literal_mapping"], ids=lambda row: row["in"])
def test_py150_literals(row) -> None:
    assert plain_literals(row["in"]) == row["out"]


def test_similarity_maps_literals_on_both_sides() -> None:
    assert score("similarity", "trace", "x = <NUM_LIT>", "x = <NUM_LIT:0>", "") == 100.0
    assert score("similarity", "trace", "<STR_LIT>", "<STR_LIT>", "") == 0.0  # both empty once mapped


@pytest.mark.parametrize("row", VECTORS["sari"], ids=lambda row: row["prediction"])
def test_sari(row) -> None:
    assert sari(row["source"], row["prediction"], row["references"]) == pytest.approx(row["sari"], abs=1e-9)
    if len(row["references"]) == 1:
        found = score("sari", "treelora", row["prediction"], row["references"][0], row["source"])
        assert found == pytest.approx(row["sari"], abs=1e-9)


@pytest.mark.parametrize(
    ("prediction", "target", "trace", "treelora", "strict"),
    [
        ("B\nBecause", "B\nSince", 100, 100, 100),
        (" B\nBecause", "B\nSince", 0, 100, 100),
        ("Because", "B\nSince", 100, 100, 100),
        ("A", "B\nSince", 0, 0, 0),
        ("", "B\nSince", 0, 0, 0),
        ("  ", "B\nSince", 0, 0, 0),
        ("", "  ", 0, 100, 0),  # ZinYY/TreeLoRA, evaluations/eval_ScienceQA.py: a blank answer is read as N/A
        ("  ", "  ", 100, 100, 0),
    ],
)
def test_scienceqa_letter(prediction, target, trace, treelora, strict) -> None:
    found = [score("letter", convention, prediction, target, "") for convention in ("trace", "treelora", "strict")]
    assert found == [trace, treelora, strict]


def test_empty_predictions_count_in_the_mean_and_score_zero_except_for_sari() -> None:
    source, target = "Paragraph:\nder hund bellt laut\nSimplification:", "der hund bellt"
    for metric in TEXT_SCORES.own:
        for convention in TEXT_CONVENTIONS:
            empty = score(metric, convention, "", target, source)
            assert (empty > 0) == (metric == "sari")
            mean = score_examples(metric, convention, ["", target], [target, target], [source, source]).mean()
            assert mean == pytest.approx((empty + score(metric, convention, target, target, source)) / 2)


def test_score_examples_keeps_the_order() -> None:
    found = score_examples("accuracy", "trace", ["A", "B", "C"], ["A", "A", "C"], ["", "", ""])
    assert found.tolist() == [100.0, 0.0, 100.0]


@given(st.sampled_from([*TEXT_SCORES.own]), st.sampled_from(TEXT_CONVENTIONS), TEXT, TEXT, TEXT)
def test_scores_stay_in_range(metric, convention, prediction, target, source) -> None:
    assert 0.0 <= score(metric, convention, prediction, target, source) <= 100.0


@given(TEXT, TEXT)
def test_rules_from_strict_to_lenient(prediction, target) -> None:
    if is_right("trace", prediction, target):
        assert is_right("strict", prediction, target)
    if is_right("strict", prediction, target) and target == target.strip():
        assert is_right("treelora", prediction, target)


@given(TEXT)
def test_identical_texts(text) -> None:
    assert edit_similarity(text, text) == 100
    if any(piece for piece in text.split(".")):
        assert rouge_l(text, text) == pytest.approx(0.999999995, abs=1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(SuiteError, match="nearest: 'rouge-l'"):
        score("rougeL", "trace", "a", "a", "")
    with pytest.raises(SuiteError, match="nearest: 'treelora'"):
        score("sari", "treelorra", "a", "a", "")
    with pytest.raises(SuiteError, match="2 predictions, 1 target, 1 source;"):
        score_examples("accuracy", "trace", ["a", "b"], ["a"], [""])
    with pytest.raises(SuiteError, match="at least one example"):
        score_examples("accuracy", "trace", [], [], [])


@pytest.mark.real_data
def test_real_answers_score_themselves(real_data) -> None:
    """Gold answers are right under every convention; the metric of each task sees real prompts and answers."""
    metrics = {
        "C-STANCE": "accuracy", "FOMC": "accuracy", "MeetingBank": "rouge-l", "Py150": "similarity",
        "ScienceQA": "letter", "NumGLUE-cm": "accuracy", "NumGLUE-ds": "accuracy", "20Minuten": "sari",
    }  # fmt: skip
    folder = real_data("trace_real")
    for task, metric in metrics.items():
        rows = json.loads((folder / task / "test.json").read_text(encoding="utf-8"))
        prompts, answers = [row["prompt"] for row in rows], [row["answer"] for row in rows]
        shifted = answers[1:] + answers[:1]
        for convention in TEXT_CONVENTIONS:
            gold = score_examples(metric, convention, answers, answers, prompts).mean()
            other = score_examples(metric, convention, shifted, answers, prompts).mean()
            assert gold > 99.0, (task, convention, gold)
            assert other < 45.0, (task, convention, other)
        if metric == "sari":  # the floor of SARI: an empty answer scores about 37 on the official 200 rows
            assert 36.0 < score_examples(metric, "trace", [""] * len(rows), answers, prompts).mean() < 40.0
