"""Names and what they stand for; an outside package that cannot be used is named, and only to those who ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from suite.benchmarks.text_scores import TEXT_SCORES, score
from suite.cli.main import app
from suite.config import RunConfig, validate
from suite.errors import ConfigError, SuiteError
from suite.metrics.conventions import METRICS, convention
from suite.registration import Entry, Registry
from suite.registry import BACKBONES, BENCHMARKS, METHODS, SPACES
from suite.runs.identity import run_code
from suite.runs.validation_view import ValidationView
from suite.tracking.trackers import TRACKERS
from suite.tuning.objectives import Objective
from trainables.run import RunContext, execute

FIXED = (
    "from typing import Literal\nfrom suite.parts import MethodConfig\nclass C(MethodConfig):\n    name: Literal['{}'] = '{}'\n"
)
BROKEN = {
    "outsider/__init__.py": "",
    "outsider/broken.py": "import no_such_library\n",
    "outsider/syntax.py": "def\n",
    "outsider/exits.py": "import sys\nsys.exit(7)\n",
    "outsider/stops.py": "raise KeyboardInterrupt\n",
    "outsider/named.py": "from suite.parts import MethodConfig\nclass Nameless(MethodConfig):\n    pass\n",
    "outsider/other.py": "class C:\n    pass\nVALUE = 3\n",
    "outsider/one.py": FIXED.format("twice", "twice"),
    "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
    "outsider-1.0.dist-info/entry_points.txt": (
        "[codyra_suite.methods]\n"
        "broken = outsider.broken:C\nsyntax = outsider.syntax:C\nother = outsider.other:C\nvalue = outsider.other:VALUE\n"
        "absent = outsider.other:Nothing\nexits = outsider.exits:C\nstops = outsider.stops:C\nnameless = outsider.named:Nameless\n"
        "called = outsider.one:C\ntwice = outsider.one:C\nlora = outsider.one:C\n"
        "[codyra_suite.spaces]\nstrange = outsider.other:C\n"
    ),
    "besides-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: besides\nVersion: 2.0\n",
    "besides-2.0.dist-info/entry_points.txt": "[codyra_suite.methods]\ntwice = outsider.one:C\n",
}


def test_unknown_name_offers_the_nearest_and_the_list() -> None:
    with pytest.raises(ConfigError, match=r"'repley' is not a method; use one of .*replay.* \(nearest: 'replay'\)\."):
        METHODS["repley"]


@pytest.mark.parametrize(
    "table", [METHODS, BENCHMARKS, BACKBONES, SPACES, METRICS, TEXT_SCORES, TRACKERS], ids=lambda table: table.kind
)
def test_registered_objects_are_of_their_kind(table: Registry[object]) -> None:
    outside = {
        name: Entry(entry.target, "", ("suite", "0"), entry.key) for name, entry in table.own.items()
    }  # checked as outside ones are
    checked = Registry[object](table.kind, "codyra_suite.tests", table.base, outside, table.of_classes)
    for name in table:
        found = checked[name]
        if table in (METHODS, BENCHMARKS, BACKBONES):
            assert found.model_fields["name"].default == name  # type: ignore[attr-defined]


def test_registry_imports_on_use() -> None:
    registry = Registry[type[Path]]("thing", "codyra_suite.tests", "pathlib:Path", {"path": Entry("pathlib:Path", "x")})
    assert registry["path"] is Path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "broken",
            r"method 'broken' of package 'outsider 1\.0': 'outsider\.broken:C' cannot be imported \(ModuleNotFoundError: .*no_such_library.*\)",
        ),
        ("syntax", r"method 'syntax' of package 'outsider 1\.0': .* cannot be imported \(SyntaxError"),
        ("absent", r"method 'absent' of package 'outsider 1\.0': .* cannot be imported \(AttributeError"),
        ("other", r"method 'other' of package 'outsider 1\.0': 'outsider\.other:C' is not a class derived from MethodConfig"),
        ("exits", r"method 'exits' of package 'outsider 1\.0': .* cannot be imported \(SystemExit: 7\)"),
        ("stops", r"method 'stops' of package 'outsider 1\.0': .* cannot be imported \(KeyboardInterrupt"),
        ("nameless", r"method 'nameless' of package 'outsider 1\.0': .* has no name of its own"),
        ("called", r"method 'called' of package 'outsider 1\.0': .* calls itself 'twice', and its entry point is 'called'"),
        ("value", r"is not a class derived from MethodConfig"),
        ("twice", r"method 'twice' is added by package '(outsider 1\.0|besides 2\.0)' and by package '.*'; rename it"),
    ],
)
def test_an_outside_entry_that_cannot_be_used_is_named_with_its_package(
    name: str, message: str, installed: Callable[[dict[str, str]], Path]
) -> None:
    installed(BROKEN)
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, {"benchmark": "mini-mtil", "method": name}, where="test")


def test_it_stops_nobody_who_does_not_ask_for_it(installed: Callable[[dict[str, str]], Path]) -> None:
    installed(BROKEN)
    with pytest.raises(ConfigError, match="search space 'strange' of package 'outsider 1.0': .* is not a Space"):
        SPACES["strange"]
    assert (
        validate(RunConfig, {"benchmark": "mini-mtil", "method": "lora"}, where="test").method.__class__.__module__
        == "baselines.lora"
    )
    names, reasons = METHODS.usable()
    assert names == list(METHODS.own)
    assert len(reasons) == 11
    shown = CliRunner().invoke(app, ["list", "methods"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    for words in (
        "lora",
        "no_such_library",
        "method 'lora' is added by the suite and by package 'outsider 1.0'",
        "method 'twice' is added by",
    ):
        assert words in shown.output


MEASURE = """
from suite.metrics.conventions import Metric
FIRST = Metric("acme.first", lambda matrix: 7.0, True, "nowhere", "seven")
TEXT = Metric("acme.text", lambda matrix: "seven", True, "nowhere", "seven")
RAISES = Metric("acme.raises", lambda matrix: matrix.nothing, True, "nowhere", "seven")
"""
VIEW = ValidationView("r", "finished", None, ("a", "b"), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], 0, None, 0, 0.0, 0)


def test_an_outside_metric_is_an_objective_a_column_and_a_row_of_the_list(installed: Callable[[dict[str, str]], Path]) -> None:
    installed(
        {
            "outsider/__init__.py": "",
            "outsider/measure.py": MEASURE,
            "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
            "outsider-1.0.dist-info/entry_points.txt": (
                "[codyra_suite.metrics]\nacme.first = outsider.measure:FIRST\nacme.broken = outsider.nothing:X\n"
                "acme.text = outsider.measure:TEXT\nacme.raises = outsider.measure:RAISES\nacme.other = outsider.measure:FIRST\n"
                "gem.bwt = outsider.measure:FIRST\n"
            ),
        }
    )
    assert Objective("acme.first").maximize
    for name, said in (
        ("text", "gives 'seven', which is not a number"),
        ("raises", r"AttributeError: .* \(.*outsider/measure\.py:5, in <lambda>\)"),
        ("other", "calls itself 'acme.first', and its entry point is 'acme.other'"),
    ):
        with pytest.raises(SuiteError, match=rf"metric 'acme\.{name}' of package 'outsider 1\.0': .*{said}"):
            Objective(f"acme.{name}").require_defined(VIEW)
    assert METRICS["gem.bwt"].source != "nowhere"
    with pytest.raises(ConfigError, match="metric 'acme.broken' of package 'outsider 1.0': .* cannot be imported"):
        convention("acme")
    shown = CliRunner().invoke(app, ["list", "metrics"], env={"COLUMNS": "300"})
    for words in (
        "acme.first",
        "seven",
        "cannot be imported",
        "metric 'gem.bwt' is added by the suite and by package 'outsider 1.0'",
    ):
        assert words in shown.output


SCORES = """
from suite.benchmarks.text_scores import TextScore
from outsider.rule import worth
ENDING = TextScore(lambda convention, prediction, target, source: worth(prediction, target))
"""
RULE = "def worth(prediction, target):\n    return {}\n"
NAMES = """[codyra_suite.text_scores]
ending = outsider.scores:ENDING
broken = outsider.nothing:X
accuracy = outsider.scores:ENDING
"""


def judged_by(metric: str) -> RunConfig:
    return validate(
        RunConfig, {"benchmark": {"name": "text-folders", "metrics": {"sums": metric}}, "method": "zero-shot"}, where="test"
    )


def test_an_outside_text_score_judges_answers_and_is_part_of_the_run(
    installed: Callable[[dict[str, str]], Path], forgotten: Callable[[], None], run_context: RunContext
) -> None:
    site = installed(
        {
            "outsider/__init__.py": "",
            "outsider/scores.py": SCORES,
            "outsider/rule.py": RULE.format("25.0 if target else 0"),
            "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
            "outsider-1.0.dist-info/entry_points.txt": NAMES,
        }
    )
    for number, split in enumerate(("train", "eval", "test")):
        rows = [{"prompt": f"{number} and {other}", "answer": str(number + other)} for other in range(4)]
        (run_context.data_root / "sums").mkdir(parents=True, exist_ok=True)
        (run_context.data_root / "sums" / f"{split}.json").write_text(json.dumps(rows))
    first = execute(judged_by("ending"), run_context)
    assert (first.test[0], first.versions["outsider"]) == ([25.0], "1.0")
    assert run_code(judged_by("rouge-l")) != first.code_version
    for body, said in (("nothing", r"NameError: .*rule\.py:2, in worth\)"), ("worth(1)", "TypeError: .*missing 1 required")):
        (site / "outsider" / "rule.py").write_text(RULE.format(body))
        forgotten()
        with pytest.raises(SuiteError, match=rf"text score 'ending' of package 'outsider 1\.0': {said}"):
            score("ending", "strict", "a", "b", "c")
    (site / "outsider" / "rule.py").write_text(RULE.format("float('nan')"))
    forgotten()
    assert run_code(judged_by("ending")) != first.code_version
    with pytest.raises(
        SuiteError, match=r"text score 'ending' of package 'outsider 1\.0': gives nan for the answer '.*', no number from"
    ):
        execute(judged_by("ending"), run_context)


def test_an_outside_text_score_that_cannot_be_used_is_named(installed: Callable[[dict[str, str]], Path]) -> None:
    installed({**BROKEN, "outsider-1.0.dist-info/entry_points.txt": NAMES})
    with pytest.raises(ConfigError, match="text score 'broken' of package 'outsider 1.0': .* cannot be imported"):
        judged_by("broken")
    with pytest.raises(ConfigError, match="'rouge' is not a text score; use one of accuracy, .*nearest: 'rouge-l'"):
        judged_by("rouge")
    assert TEXT_SCORES["accuracy"].function("strict", "a ", "a", "") == 100.0
    shown = CliRunner().invoke(app, ["list", "scores"], env={"COLUMNS": "300"})
    for words in ("rouge-l", "cannot be imported", "text score 'accuracy' is added by the suite and by package 'outsider 1.0'"):
        assert words in shown.output


def test_the_list_says_what_an_outside_method_is(installed: Callable[[dict[str, str]], Path]) -> None:
    described = FIXED.format("told", "told").replace("    name", '    """Half of every update."""\n    name')
    installed(
        {
            "outsider/__init__.py": "",
            "outsider/told.py": described,
            "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
            "outsider-1.0.dist-info/entry_points.txt": "[codyra_suite.methods]\ntold = outsider.told:C\n",
        }
    )
    shown = CliRunner().invoke(app, ["list", "methods"], env={"COLUMNS": "300"}).output
    assert "Half of every update. (from package 'outsider 1.0')" in shown
