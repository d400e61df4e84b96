"""Numbers and their nouns agree."""

from __future__ import annotations

import pytest

from suite.counting import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "test image", "2 test images"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
        (2, "batch", "2 batches"),
        (2, "directory", "2 directories"),
        (2, "day", "2 days"),
    ],
)
def test_the_noun_follows_its_number(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


def test_the_verb_follows_too() -> None:
    assert counted(1, "cache", "is", "are") == "1 cache is"
    assert counted(2, "cache", "is", "are") == "2 caches are"
