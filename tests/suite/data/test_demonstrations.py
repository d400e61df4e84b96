from collections import Counter

from suite.data.demonstrations import NOTICE, choose_demonstrations, instruction_of, with_demonstrations
from suite.data.examples import TextExamples


def examples(answers: list[str]) -> TextExamples:
    prompts = tuple(f"Judge it.\nText:\nrow {number}\nStance:" for number in range(len(answers)))
    return TextExamples(prompts, tuple(answers), tuple(map(str, range(len(answers)))))


def test_instruction_is_what_all_prompts_share_up_to_a_line_end() -> None:
    assert instruction_of(examples(["A"] * 20).prompts) == "Judge it.\nText:\n"
    assert instruction_of(["def f ( ) :", "import os"]) == ""
    assert instruction_of(["one\ntwo", "one\ntwo"]) == "one\n"


def test_answers_are_shared_out_equally() -> None:
    """At most two of each label among six, as in the release; the draw is the same every time."""
    train = examples(["A"] * 80 + ["B"] * 10 + ["C"] * 10)
    rows = choose_demonstrations(train, 6, lambda row: True, key=("FOMC",))
    assert Counter(train.answers[row] for row in rows) == {"A": 2, "B": 2, "C": 2}
    assert rows == choose_demonstrations(train, 6, lambda row: True, key=("FOMC",))
    assert rows != choose_demonstrations(train, 6, lambda row: True, key=("C-STANCE",))


def test_only_rows_that_fit_are_chosen() -> None:
    train = examples([str(number) for number in range(50)])
    rows = choose_demonstrations(train, 6, lambda row: row < 4, key=("t",))
    assert sorted(rows) == [0, 1, 2, 3]


def test_layout_is_instruction_notice_examples_query() -> None:
    train = examples(["A", "B", "C"])
    text = with_demonstrations("Judge it.\nText:\n", train, [0, 2], "Judge it.\nText:\nrow 9\nStance:")
    assert text == f"Judge it.\nText:\n{NOTICE}row 0\nStance:A\n\nrow 2\nStance:C\n\nrow 9\nStance:"
    assert with_demonstrations("Judge it.\n", train, [], "Judge it.\nx") == "Judge it.\nx"
