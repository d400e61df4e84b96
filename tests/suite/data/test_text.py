"""Token rows: boundary, cuts and padding, with the shipped tokenizer and the real one of stories260k."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from suite.backbones.lm_network import MINI_LM, load_causal_lm
from suite.data.prompt_files import read_task
from suite.data.text import IGNORED, TextEncoder, Tokenizer, left_padded, training_batch

TASKS = ("C-STANCE", "FOMC", "MeetingBank", "Py150", "ScienceQA", "NumGLUE-cm", "NumGLUE-ds", "20Minuten")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_causal_lm(str(MINI_LM))[1]


@pytest.fixture
def real_tokenizer(real_data: Callable[[str], Path]) -> Tokenizer:
    return load_causal_lm(str(real_data("tiny_lm_real/stories260k")))[1]


def supervised_text(tokenizer: Tokenizer, ids: np.ndarray, count: int) -> str:
    assert ids[-1] == tokenizer.eos_token_id
    text: str = tokenizer.decode(ids[len(ids) - count : -1])
    return text


def test_row_is_begin_prompt_answer_end(tokenizer: Tokenizer) -> None:
    row = TextEncoder(tokenizer, 64, 16).training_rows(["Question:\nWhich?\nAnswer:"], ["dog"])[0]
    prompt = tokenizer("Question:\nWhich?\nAnswer:", add_special_tokens=False)["input_ids"]
    answer = tokenizer("dog", add_special_tokens=False)["input_ids"]
    assert row.ids.tolist() == [tokenizer.bos_token_id, *prompt, *answer, tokenizer.eos_token_id]
    assert row.answer_tokens == len(answer) + 1


def test_long_prompt_loses_its_beginning_and_says_so(tokenizer: Tokenizer) -> None:
    encoder = TextEncoder(tokenizer, 8, 16)
    prompt = "one two three four five six seven eight nine ten Answer:"
    whole = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    row = encoder.training_rows([prompt], ["A"])[0]
    asked = encoder.prompt_rows([prompt, "A"])
    assert row.ids.tolist()[:8] == whole[-8:]
    assert row.prompt_cut
    assert (asked[0].cut, asked[1].cut) == (True, False)
    assert asked[0].ids.tolist() == whole[-8:]  # training and answering see the same prompt
    assert asked[1].ids.tolist() == [tokenizer.bos_token_id, *tokenizer("A", add_special_tokens=False)["input_ids"]]


def test_long_answer_loses_its_end_and_its_end_token(tokenizer: Tokenizer) -> None:
    row = TextEncoder(tokenizer, 16, 4).training_rows(["A:"], ["xyzxyz"])[0]
    assert row.answer_cut
    assert row.answer_tokens == 4
    assert tokenizer.decode(row.ids[-4:]) == "xyzx"


def test_release_boundary_cuts_jointly(tokenizer: Tokenizer) -> None:
    """At exactly the window the end token is missing while it is still counted, as in the released collator."""
    prompt, answer = "qxzjqxzj", "xyz"  # one byte token each
    row = TextEncoder(tokenizer, 8, 3, "release").training_rows([prompt], [answer])[0]
    assert tokenizer.decode(row.ids) == prompt + answer
    assert row.answer_tokens == 4
    assert TextEncoder(tokenizer, 8, 3).training_rows([prompt], [answer])[0].answer_tokens == 3


def test_batch_is_padded_on_the_right_and_answers_end_its_window(tokenizer: Tokenizer) -> None:
    rows = TextEncoder(tokenizer, 16, 8).training_rows(["ab", "abcd"], ["x", "yz"])
    batch = training_batch(rows, 0, multiple=8)
    assert batch["input_ids"].shape == (2, 8)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1] * 8]
    assert batch["answer_ids"].tolist() == [[IGNORED, *rows[0].ids[-2:]], [*rows[1].ids[-3:]]]
    wide = training_batch(rows, 0, least=(1, 16))
    assert wide["answer_ids"].shape == (2, 7)  # nothing predicts the first of eight tokens
    assert wide["answer_ids"][1].tolist() == [IGNORED] * 4 + rows[1].ids[-3:].tolist()


def test_boundary_inside_a_run_of_bytes(tokenizer: Tokenizer) -> None:
    """Bytes of an unknown run share one offset; those that the prompt alone gives as well are not supervised."""
    row = TextEncoder(tokenizer, 16, 8).training_rows(["qrst"], ["xyz"])[0]
    assert (row.answer_tokens, row.straddles) == (4, False)


def test_boundary_inside_a_token_is_supervised_and_counted(tokenizer: Tokenizer) -> None:
    """' 3' and '5' glued are the one token ' 35', which the prompt alone does not have."""
    row = TextEncoder(tokenizer, 16, 8).training_rows(["Item 1"], ["2"])[0]
    assert tokenizer.convert_ids_to_tokens(row.ids.tolist())[-2:] == [" 12", "</s>"]
    assert (row.answer_tokens, row.straddles) == (2, True)


def test_positions_start_at_each_rows_own_first_token() -> None:
    batch = left_padded([np.array([5, 6]), np.array([7, 8, 9])], 0)
    assert batch["position_ids"].tolist() == [[0, 0, 1], [0, 1, 2]]
    assert batch["input_ids"].tolist() == [[0, 5, 6], [7, 8, 9]]


@pytest.mark.real_data
@pytest.mark.parametrize("task", TASKS)
def test_exact_boundary_on_real_rows(task: str, real_data: Callable[[str], Path], real_tokenizer: Tokenizer) -> None:
    """The supervised tokens are the answer and the end token (this tokenizer itself collapses blanks)."""
    train = read_task(real_data("trace_real") / task).train
    rows = TextEncoder(real_tokenizer, 10_000, 10_000).training_rows(train.prompts, train.answers)
    for row, answer in zip(rows, train.answers, strict=True):
        assert supervised_text(real_tokenizer, row.ids, row.answer_tokens).split() == answer.split()
        assert not (row.prompt_cut or row.answer_cut or row.straddles)


@pytest.mark.real_data
def test_release_boundary_supervises_the_colon(real_data: Callable[[str], Path], real_tokenizer: Tokenizer) -> None:
    """Reference: one token too long in 100 of 100 NumGLUE-ds rows with a SentencePiece model (the dummy prefix)."""
    train = read_task(real_data("trace_real") / "NumGLUE-ds").train
    exact = TextEncoder(real_tokenizer, 1000, 500).training_rows(train.prompts, train.answers)
    release = TextEncoder(real_tokenizer, 1000, 500, "release").training_rows(train.prompts, train.answers)
    off = [late.answer_tokens - right.answer_tokens for late, right in zip(release, exact, strict=True)]
    assert set(off) == {1}
    assert all(np.array_equal(late.ids, right.ids) for late, right in zip(release, exact, strict=True))
    assert supervised_text(real_tokenizer, release[0].ids, release[0].answer_tokens) == ":" + train.answers[0]
