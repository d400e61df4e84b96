import numpy as np
import pytest

from suite.backbones.lm_network import MINI_LM, load_causal_lm
from suite.benchmarks.text_scores import score
from suite.data.drawn_text import DRAWERS, GERMAN_WORDS, STANCE_VERBS, draw_rows, draw_text

PREFIXES = {
    "C-STANCE": "判断以下文本对指定对象的态度，选择一项：A.支持，B.反对，C.中立。输出A，B或者C。\n文本：\n",
    "FOMC": "What is the monetary policy stance for the following text? A. dovish, B. hawkish, C. neutral. "
    "Choose one from A, B and C.\nText:\n",
    "MeetingBank": "Write a summary of the following meeting transcripts.\nMeeting transcripts:\n",
    "Py150": "<s> ",
    "ScienceQA": "Choose an answer for the following question and give your reasons.\n\nQuestion:\n",
    "NumGLUE-cm": "Solve the following math problem.\nQuestion:\n",
    "NumGLUE-ds": "Solve the following math problem.\nQuestion:\n",
    "20Minuten": "Provide a simplified version of the following paragraph in German.\n\nParagraph:\n",
}
SUFFIXES = dict(
    zip(
        PREFIXES,
        ("\n态度：", "\nStance:", "\nSummary:", " <EOL>", "\n\nAnswer:", "\nAnswer:", "\nAnswer:", "\n\nSimplification:"),
        strict=True,
    )
)


@pytest.mark.parametrize("task", DRAWERS)
def test_rows_have_traces_own_frame_and_do_not_repeat(task: str) -> None:
    """Prefixes and suffixes of the real prompts, as verified on the released files."""
    rows = draw_rows(task, 132, np.random.default_rng(0), "stream")
    assert len({prompt for prompt, _ in rows}) == 132
    assert all(prompt.startswith(PREFIXES[task]) and prompt.endswith(SUFFIXES[task]) for prompt, _ in rows)
    assert rows == draw_rows(task, 132, np.random.default_rng(0), "stream")
    assert rows != draw_rows(task, 132, np.random.default_rng(1), "stream")


@pytest.mark.parametrize("task", DRAWERS)
def test_rows_are_short_and_survive_the_tokenizer(task: str) -> None:
    tokenizer = load_causal_lm(str(MINI_LM))[1]
    for prompt, answer in draw_rows(task, 60, np.random.default_rng(0), "stream"):
        ids = tokenizer(prompt + answer, add_special_tokens=False)["input_ids"]
        assert len(ids) <= 64
        assert tokenizer.decode(ids) == prompt + answer


def test_pretraining_has_not_met_half_of_the_words() -> None:
    generator = np.random.default_rng(0)
    stance = "".join(prompt for prompt, _ in draw_rows("C-STANCE", 500, generator, "pretraining"))
    assert {verb in stance for verb in STANCE_VERBS["A"][:3]} == {True}
    assert {verb in stance for verb in STANCE_VERBS["A"][3:]} == {False}
    german = "".join(answer for _, answer in draw_rows("20Minuten", 500, generator, "pretraining"))
    assert [f" {easy} " in german for _, easy in GERMAN_WORDS] == [True] * 4 + [False] * 4


def test_answers_are_right() -> None:
    """Spot checks of the rules against the texts themselves."""
    for prompt, answer in draw_rows("NumGLUE-ds", 100, np.random.default_rng(2), "stream"):
        first, second = (int(word) for word in prompt.split() if word.isdigit())
        assert int(answer) == (first + second if "joined" in prompt else first - second)
    for prompt, answer in draw_rows("ScienceQA", 50, np.random.default_rng(2), "stream"):
        animal = answer.split("\n")[1].split()[1]
        assert f"{answer[0]}. {animal}\n" in prompt
        assert score("letter", "strict", answer, answer, prompt) == 100.0
    for prompt, answer in draw_rows("C-STANCE", 50, np.random.default_rng(2), "stream"):
        clauses, asked = prompt.split("文本：\n")[1].split("。\n对象：\n")
        clause = next(part for part in clauses.split("，") if part.endswith(asked.split("\n")[0]))
        assert any(verb in clause for verb in STANCE_VERBS[answer])


def test_plain_text_is_never_solved() -> None:
    texts = {draw_text(np.random.default_rng(seed)) for seed in range(200)}
    assert any(text.endswith("Stance:") for text in texts)
    assert any(text.endswith(" is a bird.") for text in texts)
    assert not any(text.endswith(("Stance:A", "Stance:B", "Stance:C")) for text in texts)
