"""HTML pages from the templates beside this file: escaped by default, whole in one file, loading nothing."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def render(template: str, **values: Any) -> str:
    """The page that a template of ``pages/`` makes of these values; every text in them is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=select_autoescape(default_for_string=True, enabled_extensions=("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _source(name: str) -> str:
    return files("suite.leaderboard").joinpath("pages", name).read_text(encoding="utf-8")


def json_in_page(value: Any) -> str:
    """JSON that may stand inside a script element of a page: it cannot end the element and is never run."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
