"""``a, b: text`` of a docstring describes two parameters; Griffe is shown a line for each, so that both have their type and default."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SHARED = re.compile(r"^    (\w+(?:, \w+)+): (.*(?:\n {5,}\S.*)*)", flags=re.MULTILINE)


class SharedLines(Extension):
    """Rewrites every docstring before its sections are read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = SHARED.sub(_one_each, obj.docstring.value)


def _one_each(found: re.Match[str]) -> str:
    return "\n".join(f"    {name}: {found[2]}" for name in found[1].split(", "))
