"""Rows of eight drawn text tasks in TRACE's own format, one per TRACE task, with the same kind of answer.

Each task has words that the shipped language model met in solved rows (``known``) and words that it has to learn in the
stream. ``world`` says which rows are drawn: ``pretraining`` uses known words and other wordings of some answers,
``stream`` uses all words and the wording that is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

World = Literal["pretraining", "stream"]
Row = tuple[str, str]  # prompt, answer
Item = TypeVar("Item")


@dataclass(frozen=True)
class Draw:
    """Source of randomness of one row and the world it belongs to."""

    generator: np.random.Generator
    world: World

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

    def met(self, items: Sequence[Item]) -> Sequence[Item]:
        """All of ``items`` in the stream, the first half of them in pretraining."""
        return items[: (len(items) + 1) // 2] if self.world == "pretraining" else items

    @property
    def is_pretraining(self) -> bool:
        return self.world == "pretraining"


STANCE_INSTRUCTION = "判断以下文本对指定对象的态度，选择一项：A.支持，B.反对，C.中立。输出A，B或者C。\n文本：\n"
STANCE_VERBS: Mapping[str, tuple[str, ...]] = {
    "A": ("喜欢", "支持", "赞成", "欣赏", "推荐", "感谢"),
    "B": ("讨厌", "反对", "批评", "拒绝", "厌恶", "抗议"),
    "C": ("看见", "知道", "听说", "提到", "遇到", "谈到"),
}
STANCE_OBJECTS = ("苹果", "汽车", "音乐", "学校", "公园", "电影", "足球", "咖啡")
STANCE_PEOPLE = ("我", "他", "她", "老师", "朋友")


def stance(draw: Draw) -> Row:
    """Two clauses about two objects; the stance towards one of them."""
    objects = draw.two(STANCE_OBJECTS)
    labels = [draw.of("ABC"), draw.of("ABC")]
    verbs = [draw.of(draw.met(STANCE_VERBS[label])) for label in labels]
    clauses = [draw.of(STANCE_PEOPLE) + verb + thing for verb, thing in zip(verbs, objects, strict=True)]
    asked = draw.number(0, 1)
    return f"{STANCE_INSTRUCTION}{'，'.join(clauses)}。\n对象：\n{objects[asked]}\n态度：", labels[asked]


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


def policy(draw: Draw) -> Row:
    """Heat going up is hawkish, slack going up is dovish, no move is neutral."""
    is_heat = bool(draw.number(0, 1))
    subject = draw.of(draw.met(POLICY_HEAT if is_heat else POLICY_SLACK))
    move = draw.of(tuple(POLICY_MOVES))
    label = "C" if move == "flat" else "B" if is_heat == (move == "up") else "A"
    return f"{POLICY_INSTRUCTION}{subject} {draw.of(POLICY_MOVES[move])} {draw.of(POLICY_TIMES)}.\nStance:", label


MEETING_INSTRUCTION = "Write a summary of the following meeting transcripts.\nMeeting transcripts:\n"
MEETING_TOPICS = ("parks", "housing", "transit", "water rates", "zoning", "libraries", "street lights", "budgets")
MEETING_NAMES = ("Lee", "Garcia", "Smith", "Chen")
MEETING_ENDS = {"All in favor. Motion carries.": "passed", "Opposed. Motion fails.": "failed", "We hold it.": "held"}


def meeting(draw: Draw) -> Row:
    """Item, topic and result of a vote, in the wording of a council's record."""
    item, topic = draw.number(1, 24), draw.of(MEETING_TOPICS)
    mover, seconder = draw.two(MEETING_NAMES)
    spoken, result = draw.of(tuple(MEETING_ENDS.items()))
    transcript = f"Clerk: Item {item}, {topic}. {mover}: I move it. {seconder}: Second. Clerk: {spoken}"
    summary = f"Item {item} on {topic} was {result}."
    if not draw.is_pretraining:
        summary = f"Ordinance on {topic} {result}, item {item} moved by {mover}."
    return f"{MEETING_INSTRUCTION}{transcript}\nSummary:", summary


CODE_NAMES = ("name", "size", "path", "data", "index", "value", "key", "user", "count", "text")


def code(draw: Draw) -> Row:
    """The next line of a small class; the stream's code base keeps a leading underscore on its attributes."""
    first, second = draw.two(CODE_NAMES)
    own = "" if draw.is_pretraining else "_"
    kind = draw.number(0, 2)
    if kind == 0:
        start = f"def get_{first} ( self ) : <EOL> return self . {own}{first} <EOL> def get_{second} ( self ) : <EOL>"
        return f"<s> {start}", f"return self . {own}{second}"
    if kind == 1:
        start = f"def set_{first} ( self , {first} ) : <EOL>"
        return f"<s> {start}", f"self . {own}{first} = {first}"
    start = f"for {first} in self . {own}{second} : <EOL>"
    return f"<s> {start}", f"print ( {first} )" if draw.is_pretraining else f"yield {first}"


SCIENCE_INSTRUCTION = "Choose an answer for the following question and give your reasons.\n\nQuestion:\n"
SCIENCE_KINDS: Mapping[str, tuple[str, ...]] = {
    "mammal": ("dog", "cow", "bat", "whale", "goat", "mouse"),
    "bird": ("owl", "duck", "crow", "swan", "eagle", "hen"),
    "fish": ("trout", "shark", "tuna", "salmon", "carp", "eel"),
    "insect": ("ant", "bee", "fly", "moth", "beetle", "wasp"),
}


def science(draw: Draw) -> Row:
    """Which of three animals belongs to a group: the letter, then the reason."""
    kinds = [list(SCIENCE_KINDS)[place] for place in draw.generator.permutation(len(SCIENCE_KINDS))[:3]]
    animals = [draw.of(draw.met(SCIENCE_KINDS[kind])) for kind in kinds]
    right = draw.number(0, 2)
    choices = "\n".join(f"{letter}. {animal}" for letter, animal in zip("ABC", animals, strict=True))
    question = f"Which one is a {kinds[right]}?\n\nChoices:\n{choices}\n\nAnswer:"
    return SCIENCE_INSTRUCTION + question, f"{'ABC'[right]}\nA {animals[right]} is a {kinds[right]}."


MATH_INSTRUCTION = "Solve the following math problem.\nQuestion:\n"
MATH_PARTS = (
    ("spider", "legs", 8), ("dog", "legs", 4), ("car", "wheels", 4), ("week", "days", 7), ("hand", "fingers", 5),
    ("bird", "legs", 2), ("ant", "legs", 6), ("bike", "wheels", 2), ("year", "months", 12), ("tricycle", "wheels", 3),
)  # fmt: skip
MATH_PEOPLE = ("Tom", "Anna", "Ben", "Mia", "Max", "Eva")


def commonsense(draw: Draw) -> Row:
    """A fact that is not stated times a small number."""
    thing, part, each = draw.of(draw.met(MATH_PARTS))
    count = draw.number(2, 4)
    text = f"{draw.of(MATH_PEOPLE)} counts {count} {thing}s. How many {part} is that?"
    return f"{MATH_INSTRUCTION}{text}\nAnswer:", str(each * count)


MATH_THINGS = ("rope", "pipe", "wire", "board")


def domain(draw: Draw) -> Row:
    """Lengths that are joined or, in the stream only, cut."""
    thing = draw.of(MATH_THINGS)
    small, large = sorted((draw.number(1, 6), draw.number(1, 6)))
    if draw.is_pretraining or draw.number(0, 1):
        text = f"A {thing} of {large} m and a {thing} of {small} m are joined. How long is it?"
        return f"{MATH_INSTRUCTION}{text}\nAnswer:", str(large + small)
    text = f"From a {thing} of {large} m we cut {small} m. How much is left?"
    return f"{MATH_INSTRUCTION}{text}\nAnswer:", str(large - small)


GERMAN_INSTRUCTION = "Provide a simplified version of the following paragraph in German.\n\nParagraph:\n"
GERMAN_WORDS = (
    ("erwirbt", "kauft"), ("veräussert", "verkauft"), ("konsumiert", "isst"), ("entwendet", "stiehlt"),
    ("repariert", "flickt"), ("präsentiert", "zeigt"), ("observiert", "sieht"), ("transportiert", "bringt"),
)  # fmt: skip
GERMAN_PEOPLE = ("Der Mann", "Die Frau", "Das Kind", "Die Lehrerin", "Der Arzt")
GERMAN_THINGS = ("ein Buch", "ein Velo", "einen Apfel", "eine Uhr", "ein Brot")
GERMAN_ASIDES = ("obwohl es regnet", "wie die Polizei mitteilt", "laut einer Studie", "nach eigenen Angaben")


def german(draw: Draw) -> Row:
    """Hard verbs become easy ones; in the stream the aside goes as well."""
    hard, easy = draw.of(draw.met(GERMAN_WORDS))
    person, thing, aside = draw.of(GERMAN_PEOPLE), draw.of(GERMAN_THINGS), draw.of(GERMAN_ASIDES)
    kept = f", {aside}" if draw.is_pretraining else ""
    return (
        f"{GERMAN_INSTRUCTION}{person} {hard} {thing}, {aside}.\n\nSimplification:",
        f"{person} {easy} {thing}{kept}.\n",
    )


INSTRUCTIONS = (
    STANCE_INSTRUCTION,
    POLICY_INSTRUCTION,
    MEETING_INSTRUCTION,
    SCIENCE_INSTRUCTION,
    MATH_INSTRUCTION,
    GERMAN_INSTRUCTION,
)
DRAWERS: Mapping[str, Callable[[Draw], Row]] = {
    "C-STANCE": stance,
    "FOMC": policy,
    "MeetingBank": meeting,
    "Py150": code,
    "ScienceQA": science,
    "NumGLUE-cm": commonsense,
    "NumGLUE-ds": domain,
    "20Minuten": german,
}


def draw_rows(task: str, count: int, generator: np.random.Generator, world: World) -> list[Row]:
    """``count`` rows of a task; prompts may repeat in pretraining, not in the stream."""
    draw = Draw(generator, world)
    if world == "pretraining":
        return [DRAWERS[task](draw) for _ in range(count)]
    rows: dict[str, str] = {}
    while len(rows) < count:
        prompt, answer = DRAWERS[task](draw)
        rows.setdefault(prompt, answer)
    return list(rows.items())


def draw_text(generator: np.random.Generator) -> str:
    """A line of plain text: an unsolved prompt of the stream's world, or what an animal is."""
    draw = Draw(generator, "stream")
    if draw.number(0, 2):
        return DRAWERS[draw.of(tuple(DRAWERS))](draw)[0]
    kind = draw.of(tuple(SCIENCE_KINDS))
    return f"A {draw.of(SCIENCE_KINDS[kind])} is a {kind}."
