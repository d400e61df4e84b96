"""docs/python.md: its calls fit the functions, and its examples run in their order."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import suite
from suite.workflows import API

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_every_call_fits_its_function_and_every_function_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in API if f"suite.{name}(" not in text] == []
    calls = [node for block in BLOCKS for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    fitting = 0
    for call in calls:
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "suite":
            function = getattr(suite.workflows, call.func.attr)
            inspect.signature(function).bind(*call.args, **{str(word.arg): word.value for word in call.keywords})
            fitting += 1
    assert fitting >= 9


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["done"].record.status == "finished"
    assert names["done"].record.matrix().shape == (3, 2)
    assert names["verdict"].agrees
    assert (names["exported"].differing, names["compared"].failures) == (0, [])
    table = names["study"].table()
    assert isinstance(table, pd.DataFrame) and table["state"].isin(["COMPLETE", "PRUNED"]).all()
    assert {"trial", "state", "zscl.last", "method.kappa_max", "runs", "reason"} <= set(table.columns)
    printed = capsys.readouterr().out.splitlines()
    assert "nearest: 'mini-mtil'" in printed[-1] and len(printed) == 2  # what the page itself prints
