"""Arguments of the wrong kind: one sentence of the suite's own, from every function of the Python API, before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import suite.workflows
from suite.errors import SuiteError
from suite.workflows import API
from suite.workflows.arguments import Count, Names, Numbers, SettingsGiven, checked

run: Any = suite.run
compare: Any = suite.compare
sweep: Any = suite.sweep
report: Any = suite.report


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(), "^run: what: is missing"),
        (lambda: run("mini-mtil", metod="lora"), "^run: metod: unknown key; .*nearest: 'method'"),
        (lambda: run("mini-mtil", "lora"), "^run: 2 arguments stand without a name, 1 may"),
        (lambda: run("mini-mtil", tracking=Path("mlflow.db")), "^run: tracking: takes the URI of a tracker as a text"),
        (lambda: run("mini-mtil", tracking=3), "^run: tracking: takes the URI"),
        (lambda: run("mini-mtil", out=None), "^run: out: takes a path"),
        (lambda: run("mini-mtil", watcher=print), "^run: watcher: takes an object with the methods begin and say"),
        (lambda: run("mini-mtil", settings=[3]), "^run: settings: 3 is not a text"),
        (lambda: run("mini-mtil", settings=3), "^run: settings: takes a mapping"),
        (lambda: run("mini-mtil", settings="method.rnak=8"), "method.rnak: unknown key"),
        (lambda: run("mini-mtil", method=3), "^run: method: takes a name, or a mapping"),
        (lambda: run("mini-mtil", method={"name": "lora", "rank": 0}), r"method\.rank: .*is 0"),
        (lambda: run("mini-mtil", method="lora", settings={"method": {"rank": -1}}), r"method\.rank: .*is -1"),
        (lambda: report(None), "^report: to: takes a path"),
        (lambda: sweep(None), "^sweep: file: takes the path of a sweep file"),
        (lambda: sweep([1]), "^sweep: file: takes the path of a sweep file"),
        (lambda: compare(seeds=0), "^compare: seeds: takes a list"),
        (lambda: compare(seeds="0-2"), "^compare: seeds: takes a list"),
        (lambda: compare("mini-mitl", "lora"), "^'mini-mitl' is not a benchmark"),
        (lambda: compare(3), "^compare: benchmarks: takes a list of names"),
        (lambda: compare(concurrency=-1), "^compare: concurrency: .*greater than or equal to 1"),
        (lambda: compare(concurrency=0), "^compare: concurrency: .*greater than or equal to 1"),
        (lambda: compare([], []), "^compare: benchmarks: is empty; .*methods: is empty"),
        (lambda: compare(seeds=[]), "^compare: seeds: is empty"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_a_suite_error(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError, match=message):
        call()
    assert not list(tmp_path.iterdir())


def test_every_function_is_checked_and_keeps_its_signature() -> None:
    for name in API:
        with pytest.raises(SuiteError, match=f"^{name}: .*nothing_like_it: unknown key"):
            getattr(suite, name)(nothing_like_it=1)
        assert {"out", "file", "to", "folder"} & set(signature(getattr(suite.workflows, name)).parameters)


@checked
def taken(names: Names, seeds: Numbers = (0,), settings: SettingsGiven = (), *, count: Count | None = None) -> tuple[Any, ...]:
    return list(names), list(seeds), settings, count


def test_what_is_one_item_and_what_can_be_gone_through() -> None:
    assert taken("lora") == (["lora"], [0], (), None)
    assert taken(("a", Path("b")), range(2), "method.rank=8", count=2) == (["a", "b"], [0, 1], ["method.rank=8"], 2)
    assert taken({"a": 1}.keys(), np.arange(2), {"seed": 1})[:3] == (["a"], [0, 1], {"seed": 1})
