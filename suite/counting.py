"""Counted nouns in sentences and tables: ``1 image``, ``2 images``, ``0 classes``."""

from __future__ import annotations

HISSING = ("s", "x", "z", "ch", "sh")


def counted(number: float, noun: str, singular_verb: str = "", plural_verb: str = "") -> str:
    """``number`` and ``noun``, the noun in its number, and after it the verb in its number: ``counted(1, "file", "is", "are")``."""
    one = number == 1
    verb = singular_verb if one else plural_verb
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {noun if one else plural(noun)}" + (f" {verb}" if verb else "")


def plural(noun: str) -> str:
    """The regular plural of the last word."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(HISSING) else "s")
