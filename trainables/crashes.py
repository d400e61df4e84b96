"""What Ray Tune knows of a trial that broke: a bug with its own last lines, too little memory, or a worker that went.

Ray's exceptions differ by how a process ended and by version; the text that Tune keeps of each is what all of them have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_REASON = 300  # characters
# The last one is oneDNN's, whose kernels are written into memory when they are first needed.
MEMORY_SIGNS = ("OutOfMemoryError", "out of memory", "can't allocate memory", "MemoryError", "could not create a primitive")
# What Ray's memory monitor says of the workers it chose, those that had begun nothing first.
MONITOR = ("Ray killed", "killed due to the node running low on memory")
TRACEBACK = "ray::"  # heads a traceback from inside a worker; of a worker that went there is none
NEVER_RAN = "The actor never ran"
LOST = ("ray.exceptions.", "trainables.train.WorkersLost")  # raised in a worker because another process went


@dataclass(frozen=True)
class Crash:
    """How a trial broke.

    Attributes:
        reason: one line.
        is_bug: the code itself raised; the same again would end in the same way.
        began: the worker had begun when it went.
    """

    reason: str
    is_bug: bool
    began: bool

    @property
    def is_memory(self) -> bool:
        return ran_out_of_memory(self.reason)


def read_crash(text: str) -> Crash:
    """What the text in Tune's error file says, of the last failure in it."""
    text = re.sub(r"\x1b\[\d*m", "", text.rpartition("Failure # ")[2]).partition("\n")[2].strip()
    if any(words in text for words in MONITOR):
        reason = "Ray's memory monitor ended the worker because its machine had almost none left"
        return Crash(f"out of memory: {reason}; free some, or let fewer runs go at a time", False, True)
    if TRACEBACK not in text:
        began = bool(text) and NEVER_RAN not in text
        return Crash("the worker died" if began else "the worker died before it could start", False, began)
    last = last_lines(text)
    if last.startswith(LOST):
        return Crash("a worker was lost", False, True)
    return Crash(last, not ran_out_of_memory(last), True)


def last_lines(traceback: str) -> str:
    """What a traceback ends in and the line of code that raised it, as one line."""
    frames = re.split(r'\n +File "([^"]*)", line (\d+), in (\S+)\n', "\n" + traceback)
    said = [line.strip() for line in frames[-1].splitlines() if line.strip() and not line.startswith(" ")]
    place = f" ({frames[-4]}:{frames[-3]}, in {frames[-2]})" if len(frames) > 1 else ""
    return (" ".join(said) or traceback.strip()[-LONGEST_REASON:])[:LONGEST_REASON] + place


def ran_out_of_memory(reason: str) -> bool:
    """Whether a reason, from a crash or from the run itself, means that a larger share may help."""
    return any(sign in reason for sign in MEMORY_SIGNS)
