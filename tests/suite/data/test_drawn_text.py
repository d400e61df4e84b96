import numpy as np
import pytest

from suite.backbones.lm_network import MINI_LM, load_causal_lm
from suite.benchmarks.mini_trace import COUNTS
from suite.benchmarks.text_scores import score
from suite.data.drawn_text import FRAMES, STANCE_VERBS, draw_rows

ROWS = sum(COUNTS.values())
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


@pytest.mark.parametrize("task", FRAMES)
def test_rows_have_traces_own_frame_and_do_not_repeat(task: str) -> None:
    """Prefixes and suffixes of the real prompts, as verified on the released files."""
    rows = draw_rows(task, ROWS, np.random.default_rng(0))
    assert len({prompt for prompt, _ in rows}) == ROWS
    assert all(prompt.startswith(PREFIXES[task]) and prompt.endswith(SUFFIXES[task]) for prompt, _ in rows)
    assert rows == draw_rows(task, ROWS, np.random.default_rng(0))
    assert rows != draw_rows(task, ROWS, np.random.default_rng(1))


@pytest.mark.parametrize("task", FRAMES)
def test_rows_are_short_and_survive_the_tokenizer(task: str) -> None:
    tokenizer = load_causal_lm(str(MINI_LM))[1]
    for prompt, answer in draw_rows(task, 60, np.random.default_rng(0)):
        ids = tokenizer(prompt + answer, add_special_tokens=False)["input_ids"]
        assert len(ids) <= 64
        assert tokenizer.decode(ids) == prompt + answer


def test_answers_are_right() -> None:
    """Spot checks of the rules against the texts themselves."""
    for prompt, answer in draw_rows("NumGLUE-ds", 100, np.random.default_rng(2)):
        first, second = (int(word) for word in prompt.split() if word.isdigit())
        assert int(answer) == (first + second if "joined" in prompt else first - second)
    for prompt, answer in draw_rows("ScienceQA", 50, np.random.default_rng(2)):
        animal = answer.split("\n")[1].split()[1]
        assert f"{answer[0]}. {animal}\n" in prompt
        assert score("letter", "strict", answer, answer, prompt) == 100.0
    for prompt, answer in draw_rows("C-STANCE", 50, np.random.default_rng(2)):
        clauses, asked = prompt.split("文本：\n")[1].split("。\n对象：\n")
        clause = next(part for part in clauses.split("，") if part.endswith(asked.split("\n")[0]))
        assert any(verb in clause for verb in STANCE_VERBS[answer])
