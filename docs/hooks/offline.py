"""A built page loads nothing from other hosts, so that the site works without a network; a page that would ends the build."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

LOADED = re.compile(r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)""")
LINKED = re.compile(
    r"""<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon))[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
)
STYLED = re.compile(r"""(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


def on_post_build(config: MkDocsConfig) -> None:
    """Look through every page and style sheet.

    Raises:
        PluginError: something is loaded from elsewhere.
    """
    for path in sorted(Path(config.site_dir).rglob("*")):
        rules = {".html": (LOADED, LINKED), ".css": (STYLED,)}.get(path.suffix, ())
        text = path.read_text(encoding="utf-8") if rules else ""
        for rule in rules:
            if found := rule.search(text):
                raise PluginError(f"{path}: loads {found[1]}; the site must work offline, put a copy into docs/.")
