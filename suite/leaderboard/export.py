"""The leaderboard frame as CSV, Markdown, LaTeX (booktabs) and HTML; every form escapes what it must."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from suite.errors import unknown_name
from suite.files import write_output

FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_LATEX |= {"±": r"$\pm$", "◆": r"$\blacklozenge$", "◇": r"$\lozenge$"}  # the two marks need the package amssymb
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def write_frame(frame: pd.DataFrame, form: str, path: Path) -> None:
    """Write ``frame`` in the form ``csv``, ``markdown``, ``latex`` or ``html``; ``-`` is standard output."""
    if form not in FORMS:
        raise unknown_name("table format", form, FORMS)
    write_output(path, FORMS[form](frame).encode())


def to_csv(frame: pd.DataFrame) -> str:
    """Full precision, empty cells for what was not measured; no text that a spreadsheet would run as a formula."""
    return frame.map(_harmless).rename(columns=_harmless).to_csv(index=False)


def to_markdown(frame: pd.DataFrame) -> str:
    """A pipe table; what would become markup in names is escaped."""
    lines = ["| " + " | ".join(_markdown(name) for name in frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(_markdown(_text(value)) for value in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def to_latex(frame: pd.DataFrame) -> str:
    """A booktabs table."""
    body = [" & ".join(latex_escape(_text(value)) for value in row) + r" \\" for row in frame.itertuples(index=False)]
    head = " & ".join(latex_escape(str(name)) for name in frame.columns) + r" \\"
    columns = "l" * len(frame.columns)
    return "\n".join(
        [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
    )


def to_html(frame: pd.DataFrame) -> str:
    """A bare table."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    rows = [
        "<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    ]
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>\n"


FORMS: Mapping[str, Callable[[pd.DataFrame], str]] = MappingProxyType(
    {"csv": to_csv, "markdown": to_markdown, "latex": to_latex, "html": to_html}
)


def latex_escape(text: str) -> str:
    """``text`` with LaTeX's special characters made harmless."""
    return "".join(_LATEX.get(character, character) for character in text)


def _harmless(cell: Any) -> Any:
    """A text cell that begins like a formula is marked as text with a quote; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _markdown(text: str) -> str:
    return re.sub(r"([|\\*_`<>\[\]&~])", r"\\\1", str(text)).replace("\n", " ")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    return str(value)
