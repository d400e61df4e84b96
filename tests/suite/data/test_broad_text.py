"""What pretraining tells about the tasks of the stream, and what it does not."""

import numpy as np

from suite.data.broad_text import WRONG, broad_row, broad_text
from suite.data.drawn_text import FRAMES, POLICY_MOVES, Draw, draw_rows


def test_the_streams_own_frames_say_nothing_about_their_rows() -> None:
    """After 'Stance:' a row of pretraining holds each letter as often whether prices go up, down or nowhere."""
    generator = np.random.default_rng(0)
    rows = [broad_row(generator) for _ in range(12000)]
    shares = []
    for verbs in POLICY_MOVES.values():
        answers = [
            answer for prompt, answer in rows if prompt.endswith("Stance:") and any(f" {verb} " in prompt for verb in verbs)
        ]
        assert set(answers) == {"A", "B", "C"}
        shares.append([answers.count(letter) / len(answers) for letter in "ABC"])
    assert np.ptp(shares, axis=0).max() < 0.25  # right answers alone: 1.0 for the letter of no move


def test_other_questions_are_mostly_answered_rightly() -> None:
    generator = np.random.default_rng(0)
    asked = [row for row in (broad_row(generator) for _ in range(4000)) if row[0].endswith("\nMove:")]
    right = [any(f" {verb} " in prompt for verb in POLICY_MOVES[answer.split("\n")[0]]) for prompt, answer in asked]
    assert 1 - WRONG - 0.1 < np.mean(right) < 1 - WRONG / 2


def test_no_row_of_pretraining_or_plain_text_is_a_solved_row_of_the_stream_in_new_wording() -> None:
    generator = np.random.default_rng(0)
    new = {answer for task in ("MeetingBank", "Py150", "20Minuten") for _, answer in draw_rows(task, 200, generator)}
    assert not new & {broad_row(generator)[1] for _ in range(2000)}
    texts = {broad_text(generator) for _ in range(200)}
    assert any(text.endswith("Stance:") for text in texts)
    assert any(text.endswith(" is a bird.") for text in texts)
    assert not any(text.endswith(("Stance:A", "Stance:B", "Stance:C")) for text in texts)


def test_every_scene_is_asked_what_its_task_needs() -> None:
    """The knowledge is met in other frames: no ending of pretraining is the ending of a task."""
    for frame in FRAMES.values():
        questions = frame.scene(Draw(np.random.default_rng(3))).questions
        assert questions
        assert not any(ending in {other.ending for other in FRAMES.values()} for ending in questions)
