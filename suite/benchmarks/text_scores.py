"""Scores of generated answers, 0 to 100 per example: those of the TRACE family of benchmarks, and of outside packages.

Three conventions disagree on what counts as right: ``trace`` (BeyonderXX/TRACE, metrics.py and evaluations/),
``treelora`` (ZinYY/TreeLoRA, same files) and ``strict`` (the suite's own: equality after stripping blanks).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from suite.counting import counted
from suite.errors import SuiteError, unknown_name
from suite.registration import Entry, Registry

TEXT_CONVENTIONS = ("trace", "treelora", "strict")
NO_LETTER = "N/A"  # what TreeLoRA reads where an answer is blank

ROUGE_EPSILON = 1e-8  # inside the denominator of f, so that identical texts score 0.999999995
SARI_ORDERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class TextScore:
    """How one generated answer is judged.

    Attributes:
        function: convention, prediction, target, source -> 0 to 100. The convention is the benchmark's ``scoring``, of which a score
            takes what it needs; the source is the full prompt with its instruction.
    """

    function: Callable[[str, str, str, str], float]


def is_right(convention: str, prediction: str, target: str) -> bool:
    """Accuracy rule. An empty prediction or target is wrong under every convention.

    ``trace``: raw equality, so blanks are right for the same blanks. ``treelora``: the stripped prediction starts with the target, so
    "120" is right for "12". ``strict``: equality after stripping both.
    """
    if not prediction or not target:
        return False
    if convention == "treelora":
        return prediction.strip()[: len(target)] == target
    if convention == "strict":
        return prediction.strip() == target.strip()
    return prediction == target


def letter(convention: str, answer: str) -> str:
    """Choice letter of a ScienceQA answer; "" when there is none.

    ``trace`` takes the raw first character, the others strip first. On an empty answer the TRACE release raises an exception, which is
    a wrong answer here; TreeLoRA reads a blank answer as ``N/A``, so that a blank prediction is right for a blank target.
    """
    if convention == "trace":
        return answer[:1]
    return answer.strip()[:1] or (NO_LETTER if convention == "treelora" else "")


def _sentences(text: str) -> list[list[str]]:
    """Pieces between full stops as word lists. A blank piece stays as one empty word, as in the package."""
    return [" ".join(piece.split()).split(" ") for piece in text.split(".") if piece]


def _common_words(reference: Sequence[str], hypothesis: Sequence[str]) -> set[str]:
    """Words of one longest common subsequence; on a tie the walk back steps in the hypothesis."""
    table = [[0] * (len(hypothesis) + 1) for _ in range(len(reference) + 1)]
    for i, word in enumerate(reference, start=1):
        above, row = table[i - 1], table[i]
        for j, other in enumerate(hypothesis, start=1):
            row[j] = above[j - 1] + 1 if word == other else max(above[j], row[j - 1])
    words: set[str] = set()
    i, j = len(reference), len(hypothesis)
    while i and j:
        if reference[i - 1] == hypothesis[j - 1]:
            words.add(reference[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words


def rouge_l(hypothesis: str, reference: str) -> float:
    """ROUGE-L f of the package ``rouge`` 1.0.1, 0 to 1. Not the ROUGE-L of ``rouge_score``.

    Hits = distinct words over the longest common subsequences of all sentence pairs; recall and precision divide by
    the distinct words of reference and hypothesis; f = 2 p r / (p + r + 1e-8). Case counts, nothing is stemmed.
    A text made only of full stops has no words and scores 0 (the package raises an exception).
    """
    hypothesis_sentences, reference_sentences = _sentences(hypothesis), _sentences(reference)
    if not hypothesis_sentences or not reference_sentences:
        return 0.0
    hits: set[str] = set()
    for sentence in reference_sentences:
        for other in hypothesis_sentences:
            hits |= _common_words(sentence, other)
    recall = len(hits) / len({word for sentence in reference_sentences for word in sentence})
    precision = len(hits) / len({word for sentence in hypothesis_sentences for word in sentence})
    return 2.0 * precision * recall / (precision + recall + ROUGE_EPSILON)


def _rouge_score(convention: str, prediction: str, target: str, source: str) -> float:
    """Arguments swapped as in the releases: the target is the hypothesis. TreeLoRA ends a one-line prediction with a
    newline, which adds an empty word after a final full stop.
    """
    if not prediction or not target:
        return 0.0
    if convention == "treelora" and "\n" not in prediction:
        prediction += "\n"
    return 100.0 * rouge_l(target, prediction)


def plain_literals(code: str) -> str:
    """Py150 tokens with masked literals written out: ``<NUM_LIT>`` 0, ``<STR_LIT>`` nothing, ``<NUM_LIT:1>`` 1.

    Replaced one literal after the other over the whole text, in order of appearance, as in evaluations/eval_Py150.py.
    """
    code = code.replace("<NUM_LIT>", "0").replace("<STR_LIT>", "").replace("<CHAR_LIT>", "")
    for kind, value in re.findall(r"<(STR|NUM|CHAR)_LIT:(.*?)>", code, re.DOTALL):
        code = code.replace(f"<{kind}_LIT:{value}>", value)
    return code


def _similarity_score(convention: str, prediction: str, target: str, source: str) -> float:
    """An answer that is empty once its literals are written out contributes 0, also when both are."""
    prediction, target = plain_literals(prediction), plain_literals(target)
    return float(edit_similarity(prediction, target)) if prediction and target else 0.0


def edit_similarity(first: str, second: str) -> int:
    """``fuzz.ratio`` of fuzzywuzzy 0.18 without python-Levenshtein: rounded percent, 0 to 100.

    difflib with its junk heuristic on; rapidfuzz and python-Levenshtein give other numbers.
    """
    if first == second:
        return 100
    if not first or not second:
        return 0
    return round(100 * SequenceMatcher(None, first, second).ratio())


@cache
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    build: Callable[[], Callable[[str], str]] = Tokenizer13a
    return build()


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2.0 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _keep_delete_add(
    source: Sequence[str], prediction: Sequence[str], references: Sequence[Sequence[str]], order: int
) -> tuple[float, float, float]:
    """SARI parts for n-grams of one order; source and prediction counts are multiplied by the number of references."""
    times = len(references)
    in_source = Counter({gram: times * count for gram, count in _grams(source, order).items()})
    in_prediction = Counter({gram: times * count for gram, count in _grams(prediction, order).items()})
    in_reference: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        in_reference.update(_grams(reference, order))

    kept = in_source & in_prediction
    rightly_kept = kept & in_reference
    keep_precision = _ratio(sum(count / kept[gram] for gram, count in rightly_kept.items()), len(kept))
    keep_recall = _ratio(rightly_kept.total(), (in_source & in_reference).total())

    deleted = in_source - in_prediction
    rightly_deleted = deleted - in_reference
    delete = _ratio(sum(count / deleted[gram] for gram, count in rightly_deleted.items()), len(deleted))

    added = in_prediction.keys() - in_source.keys()
    rightly_added = added & in_reference.keys()
    add_precision = _ratio(len(rightly_added), len(added))
    add_recall = _ratio(len(rightly_added), len(in_reference.keys() - in_source.keys()))
    return _f1(keep_precision, keep_recall), delete, _f1(add_precision, add_recall)


def sari(source: str, prediction: str, references: Sequence[str]) -> float:
    """SARI of the Hugging Face metric, 0 to 100: mean over n = 1..4 of keep F1, delete precision, add F1.

    Lower-cased, sacrebleu 13a tokens, split at single blanks; a ratio with an empty denominator is 1. An empty
    prediction is scored like any other (about 37 on 20Minuten).
    """
    tokenize = _tokenizer()
    source_words = tokenize(source.lower()).split(" ")
    prediction_words = tokenize(prediction.lower()).split(" ")
    reference_words = [tokenize(reference.lower()).split(" ") for reference in references]
    parts = [_keep_delete_add(source_words, prediction_words, reference_words, order) for order in SARI_ORDERS]
    keep, delete, add = (sum(part) / len(SARI_ORDERS) for part in zip(*parts, strict=True))
    return float(100.0 * (keep + delete + add) / 3.0)


def _accuracy_score(convention: str, prediction: str, target: str, source: str) -> float:
    return 100.0 * is_right(convention, prediction, target)


def _letter_score(convention: str, prediction: str, target: str, source: str) -> float:
    return 100.0 * is_right(convention, letter(convention, prediction), letter(convention, target))


def _sari_score(convention: str, prediction: str, target: str, source: str) -> float:
    return sari(source, prediction, [target])


ACCURACY, LETTER, ROUGE_L = TextScore(_accuracy_score), TextScore(_letter_score), TextScore(_rouge_score)
SIMILARITY, SARI = TextScore(_similarity_score), TextScore(_sari_score)

TEXT_SCORES: Registry[TextScore] = Registry(
    "text score",
    "codyra_suite.text_scores",
    f"{__name__}:TextScore",
    {
        "accuracy": Entry(f"{__name__}:ACCURACY", "the answer is right by the benchmark's scoring, or not"),
        "letter": Entry(f"{__name__}:LETTER", "the same for the answer's first letter, a choice"),
        "rouge-l": Entry(f"{__name__}:ROUGE_L", "longest common subsequence of words, f measure"),
        "similarity": Entry(f"{__name__}:SIMILARITY", "edit similarity of code"),
        "sari": Entry(f"{__name__}:SARI", "words kept, deleted and added to simplify the prompt"),
    },
    of_classes=False,
)


def score(metric: str, convention: str, prediction: str, target: str, source: str) -> float:
    """Score of one answer, 0 to 100.

    Args:
        metric: a name of ``TEXT_SCORES``.
        source: the full prompt with its instruction.

    Raises:
        SuiteError: unknown metric or convention, or an outside score that raises, or gives no number from 0 to 100.
    """
    if convention not in TEXT_CONVENTIONS:
        raise unknown_name("text convention", convention, TEXT_CONVENTIONS)
    function = TEXT_SCORES[metric].function
    with TEXT_SCORES.named_faults(metric):
        value = function(convention, prediction, target, source)
    if not isinstance(value, Real) or not 0 <= value <= 100:
        owner, answer = TEXT_SCORES.entries[metric].owner, " ".join(prediction.split())[:40]
        raise SuiteError(
            f"text score '{metric}' of {owner}: gives {value!r} for the answer '{answer}', no number from 0 to 100; correct it."
        )
    return float(value)


def score_examples(
    metric: str,
    convention: str,
    predictions: Sequence[str],
    targets: Sequence[str],
    sources: Sequence[str],
) -> NDArray[np.float64]:
    """``score`` of every example, (n,); the task's headline number is its plain mean over all n.

    Raises:
        SuiteError: no examples, lists of different length, unknown metric or convention.
    """
    if not predictions or not len(predictions) == len(targets) == len(sources):
        counts = (
            f"{counted(len(predictions), 'prediction')}, {counted(len(targets), 'target')}, {counted(len(sources), 'source')}"
        )
        raise SuiteError(f"text scores: {counts}; give one of each per example, and at least one example.")
    rows = zip(predictions, targets, sources, strict=True)
    return np.array([score(metric, convention, *row) for row in rows], dtype=np.float64)
