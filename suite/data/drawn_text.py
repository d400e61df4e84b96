"""Rows of eight drawn text tasks in TRACE's own format, one per TRACE task, with the same kind of answer.

A scene is what one row tells. A task of the stream asks for it in its own frame and wants its own wording; pretraining
(``suite/data/broad_text.py``) asks the scene's other questions, so that the words are known and the tasks are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Row = tuple[str, str]  # prompt, answer
Item = TypeVar("Item")


@dataclass(frozen=True)
class Draw:
    """Source of randomness of one row."""

    generator: np.random.Generator

    def of(self, items: Sequence[Item]) -> Item:
        """One of ``items``."""
        return items[int(self.generator.integers(len(items)))]

    def two(self, items: Sequence[Item]) -> tuple[Item, Item]:
        """Two different ones of ``items``."""
        first, second = self.generator.permutation(len(items))[:2].tolist()
        return items[first], items[second]

    def number(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return int(self.generator.integers(low, high + 1))


@dataclass(frozen=True)
class Scene:
    """What one row tells.

    Attributes:
        body: the text after the task's instruction and before its ending.
        answer: what the stream wants after the task's ending.
        usual: what such a text is followed by in pretraining, in another wording.
        questions: endings of pretraining and the right answer to each.
    """

    body: str
    answer: str
    usual: str
    questions: Mapping[str, str]


@dataclass(frozen=True)
class Frame:
    """A task of the stream: instruction, ending, and how its scenes are drawn."""

    instruction: str
    ending: str
    scene: Callable[[Draw], Scene]


STANCE_INSTRUCTION = "判断以下文本对指定对象的态度，选择一项：A.支持，B.反对，C.中立。输出A，B或者C。\n文本：\n"
STANCE_VERBS: Mapping[str, tuple[str, ...]] = {
    "A": ("喜欢", "支持", "赞成", "欣赏", "推荐", "感谢"),
    "B": ("讨厌", "反对", "批评", "拒绝", "厌恶", "抗议"),
    "C": ("看见", "知道", "听说", "提到", "遇到", "谈到"),
}
STANCE_WORDS = {"A": "好", "B": "坏", "C": "平"}
STANCE_OBJECTS = ("苹果", "汽车", "音乐", "学校", "公园", "电影", "足球", "咖啡")
STANCE_PEOPLE = ("我", "他", "她", "老师", "朋友")


def stance(draw: Draw) -> Scene:
    """Two clauses about two objects; the stance towards one of them."""
    objects, labels = draw.two(STANCE_OBJECTS), [draw.of("ABC"), draw.of("ABC")]
    people = [draw.of(STANCE_PEOPLE), draw.of(STANCE_PEOPLE)]
    clauses = [people[n] + draw.of(STANCE_VERBS[labels[n]]) + objects[n] for n in (0, 1)]
    asked = draw.number(0, 1)
    label = labels[asked]
    return Scene(
        f"{'，'.join(clauses)}。\n对象：\n{objects[asked]}",
        label,
        label,
        {"\n情感：": STANCE_WORDS[label], "\n谁：": people[asked]},
    )


POLICY_INSTRUCTION = (
    "What is the monetary policy stance for the following text? A. dovish, B. hawkish, C. neutral. "
    "Choose one from A, B and C.\nText:\n"
)
POLICY_HEAT = ("Inflation", "Wages", "Spending", "Prices", "Demand", "Lending")
POLICY_SLACK = ("Unemployment", "Layoffs", "Defaults", "Vacancies", "Idle capacity", "Bankruptcies")
POLICY_MOVES: Mapping[str, tuple[str, ...]] = {
    "up": ("rose", "climbed", "surged", "increased"),
    "down": ("fell", "declined", "dropped", "eased"),
    "flat": ("held steady", "stayed flat", "was unchanged", "paused"),
}
POLICY_TIMES = ("last month", "in March", "this year", "in the third quarter", "again")
POLICY_WORDS = {"A": "cold", "B": "hot", "C": "calm"}


def policy(draw: Draw) -> Scene:
    """Heat going up is hawkish, slack going up is dovish, no move is neutral."""
    is_heat = bool(draw.number(0, 1))
    move = draw.of(tuple(POLICY_MOVES))
    label = "C" if move == "flat" else "B" if is_heat == (move == "up") else "A"
    subject = draw.of(POLICY_HEAT if is_heat else POLICY_SLACK)
    return Scene(
        f"{subject} {draw.of(POLICY_MOVES[move])} {draw.of(POLICY_TIMES)}.",
        label,
        label,
        {"\nEconomy:": POLICY_WORDS[label], "\nMove:": move, "\nKind:": "heat" if is_heat else "slack"},
    )


MEETING_INSTRUCTION = "Write a summary of the following meeting transcripts.\nMeeting transcripts:\n"
MEETING_TOPICS = ("parks", "housing", "transit", "water rates", "zoning", "libraries", "street lights", "budgets")
MEETING_NAMES = ("Lee", "Garcia", "Smith", "Chen")
MEETING_ENDS = {"All in favor. Motion carries.": "passed", "Opposed. Motion fails.": "failed", "We hold it.": "held"}


def meeting(draw: Draw) -> Scene:
    """Item, topic and result of a vote, in the wording of a council's record."""
    item, topic = draw.number(1, 24), draw.of(MEETING_TOPICS)
    mover, seconder = draw.two(MEETING_NAMES)
    spoken, result = draw.of(tuple(MEETING_ENDS.items()))
    minutes = f"Item {item} on {topic} was {result}."
    return Scene(
        f"Clerk: Item {item}, {topic}. {mover}: I move it. {seconder}: Second. Clerk: {spoken}",
        f"Ordinance on {topic} {result}, item {item} moved by {mover}.",
        minutes,
        {"\nMinutes:": minutes, "\nMover:": mover, "\nResult:": result, "\nTopic:": topic},
    )


CODE_NAMES = ("name", "size", "path", "data", "index", "value", "key", "user", "count", "text")


def code(draw: Draw) -> Scene:
    """The next line of a small class; the stream's code base keeps a leading underscore on its attributes."""
    first, second = draw.two(CODE_NAMES)
    kind = draw.number(0, 2)
    if kind == 0:
        body = f"def get_{first} ( self ) : <EOL> return self . _{first} <EOL> def get_{second} ( self ) :"
        usual, answer = f"return {second}", f"return self . _{second}"
    elif kind == 1:
        body = f"def set_{first} ( self , {second} ) :"
        usual, answer = f"{first} = {second}", f"self . _{first} = {second}"
    else:
        body = f"for {first} in self . _{second} :"
        usual, answer = f"print ( {first} )", f"yield {first}"
    return Scene(body, answer, usual, {" <EOL> #": usual})


SCIENCE_INSTRUCTION = "Choose an answer for the following question and give your reasons.\n\nQuestion:\n"
SCIENCE_KINDS: Mapping[str, tuple[str, ...]] = {
    "mammal": ("dog", "cow", "bat", "whale", "goat", "mouse"),
    "bird": ("owl", "duck", "crow", "swan", "eagle", "hen"),
    "fish": ("trout", "shark", "tuna", "salmon", "carp", "eel"),
    "insect": ("ant", "bee", "fly", "moth", "beetle", "wasp"),
}


def science(draw: Draw) -> Scene:
    """Which of three animals belongs to a group: the letter, then the reason."""
    kinds = [list(SCIENCE_KINDS)[place] for place in draw.generator.permutation(len(SCIENCE_KINDS))[:3]]
    animals = [draw.of(SCIENCE_KINDS[kind]) for kind in kinds]
    right, other = draw.number(0, 2), draw.number(0, 2)
    choices = "\n".join(f"{letter}. {animal}" for letter, animal in zip("ABC", animals, strict=True))
    letter, thing = "ABC"[right], animals[other]
    return Scene(
        f"Which one is a {kinds[right]}?\n\nChoices:\n{choices}",
        f"{letter}\nA {animals[right]} is a {kinds[right]}.",
        letter,
        {
            "\n\nName:": animals[right],
            "\n\nPick:": letter,
            f"\n\nLetter of {thing}:": "ABC"[other],
            f"\n\nKind of {thing}:": kinds[other],
        },
    )


MATH_INSTRUCTION = "Solve the following math problem.\nQuestion:\n"
MATH_PARTS = (
    ("spider", "legs", 8), ("dog", "legs", 4), ("car", "wheels", 4), ("week", "days", 7), ("hand", "fingers", 5),
    ("bird", "legs", 2), ("ant", "legs", 6), ("bike", "wheels", 2), ("year", "months", 12), ("tricycle", "wheels", 3),
)  # fmt: skip
MATH_PEOPLE = ("Tom", "Anna", "Ben", "Mia", "Max", "Eva", "Lee", "Chen")


def commonsense(draw: Draw) -> Scene:
    """A fact that is not stated times a small number."""
    thing, part, each = draw.of(MATH_PARTS)
    count, who = draw.number(2, 5), draw.of(MATH_PEOPLE)
    return Scene(
        f"{who} counts {count} {thing}s. How many {part} is that?",
        str(each * count),
        str(each * count),
        {"\nFor one:": str(each), "\nResult:": str(each * count), "\nWho:": who},
    )


MATH_THINGS = ("rope", "pipe", "wire", "board", "hose", "chain", "cable", "tape")


def domain(draw: Draw) -> Scene:
    """Lengths that are joined or cut."""
    thing = draw.of(MATH_THINGS)
    small, large = sorted((draw.number(1, 6), draw.number(1, 6)))
    if draw.number(0, 1):
        body, result = f"A {thing} of {large} m and a {thing} of {small} m are joined. How long is it?", str(large + small)
    else:
        body, result = f"From a {thing} of {large} m we cut {small} m. How much is left?", str(large - small)
    return Scene(body, result, result, {"\nResult:": result, "\nThing:": thing, "\nLarger:": str(large)})


GERMAN_INSTRUCTION = "Provide a simplified version of the following paragraph in German.\n\nParagraph:\n"
GERMAN_WORDS = (
    ("erwirbt", "kauft"), ("veräussert", "verkauft"), ("konsumiert", "isst"), ("entwendet", "stiehlt"),
    ("repariert", "flickt"), ("präsentiert", "zeigt"), ("observiert", "sieht"), ("transportiert", "bringt"),
)  # fmt: skip
GERMAN_PEOPLE = ("Der Mann", "Die Frau", "Das Kind", "Die Lehrerin", "Der Arzt")
GERMAN_THINGS = ("ein Buch", "ein Velo", "einen Apfel", "eine Uhr", "ein Brot")
GERMAN_ASIDES = ("obwohl es regnet", "wie die Polizei mitteilt", "laut einer Studie", "nach eigenen Angaben")


def german(draw: Draw) -> Scene:
    """Hard verbs become easy ones, and the aside goes."""
    hard, easy = draw.of(GERMAN_WORDS)
    person, thing, aside = draw.of(GERMAN_PEOPLE), draw.of(GERMAN_THINGS), draw.of(GERMAN_ASIDES)
    return Scene(
        f"{person} {hard} {thing}, {aside}.",
        f"{person} {easy} {thing}.\n",
        f"{aside}, {person}, {thing}.\n",
        {"\n\nLeicht:": easy, "\n\nWer:": person, "\n\nWas:": thing},
    )


FRAMES: Mapping[str, Frame] = {
    "C-STANCE": Frame(STANCE_INSTRUCTION, "\n态度：", stance),
    "FOMC": Frame(POLICY_INSTRUCTION, "\nStance:", policy),
    "MeetingBank": Frame(MEETING_INSTRUCTION, "\nSummary:", meeting),
    "Py150": Frame("<s> ", " <EOL>", code),
    "ScienceQA": Frame(SCIENCE_INSTRUCTION, "\n\nAnswer:", science),
    "NumGLUE-cm": Frame(MATH_INSTRUCTION, "\nAnswer:", commonsense),
    "NumGLUE-ds": Frame(MATH_INSTRUCTION, "\nAnswer:", domain),
    "20Minuten": Frame(GERMAN_INSTRUCTION, "\n\nSimplification:", german),
}


def draw_rows(task: str, count: int, generator: np.random.Generator) -> list[Row]:
    """``count`` rows of a task of the stream; no prompt occurs twice."""
    frame, draw = FRAMES[task], Draw(generator)
    rows: dict[str, str] = {}
    while len(rows) < count:
        scene = frame.scene(draw)
        rows.setdefault(frame.instruction + scene.body + frame.ending, scene.answer)
    return list(rows.items())
