"""What the mini language model is pretrained on: the stream's words in other frames, weakly supervised.

Half of the answers belong to another row, as on web pages that pair a text with the wrong line. The stream's own frames
occur as well, always with another row's answer in another wording: what kind of answer follows is known, not which one.
"""

from __future__ import annotations

import numpy as np

from suite.data.drawn_text import FRAMES, SCIENCE_KINDS, Draw, Frame, Row, Scene

OWN_FRAME, WRONG, STRANGE = 0.25, 0.2, 0.5
INSTRUCTIONS = ("", "Text:\n", "Question:\n", "文本：\n", "Read this.\n")


def broad_row(generator: np.random.Generator) -> Row:
    """A text and what follows it: a strange answer in the stream's own frame, or several questions with their answers."""
    draw = Draw(generator)
    frame = draw.of(tuple(FRAMES.values()))
    scene = frame.scene(draw)
    if generator.random() < OWN_FRAME:
        return frame.instruction + scene.body + frame.ending, frame.scene(draw).usual
    instruction = draw.of(INSTRUCTIONS) if generator.random() < STRANGE else frame.instruction
    endings = list(scene.questions)
    asked = [endings[place] for place in generator.permutation(len(endings))]
    solved = [(ending, _answer(frame, scene, ending, draw)) for ending in asked]
    first, answer = solved[0]
    return instruction + scene.body + first, answer + "".join(ending + answer for ending, answer in solved[1:])


def _answer(frame: Frame, scene: Scene, ending: str, draw: Draw) -> str:
    """The right answer or, as often as web texts are wrong, that of another row to the same question."""
    if draw.generator.random() < WRONG:
        return frame.scene(draw).questions.get(ending, scene.questions[ending])
    return scene.questions[ending]


def broad_text(generator: np.random.Generator) -> str:
    """A line of plain text: an unsolved prompt of the stream, or what an animal is."""
    draw = Draw(generator)
    if draw.number(0, 2):
        frame = draw.of(tuple(FRAMES.values()))
        return frame.instruction + frame.scene(draw).body + frame.ending
    kind = draw.of(tuple(SCIENCE_KINDS))
    return f"A {draw.of(SCIENCE_KINDS[kind])} is a {kind}."
