"""The conformance tests catch what they are for: each of these methods has one fault and fails the tests that are meant for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

FROZEN, COUNTED = "test_frozen_weights_change_by_what_was_added_alone", "test_counted_parameters_are_what_the_optimizer_holds"
RESUMED, DEGENERATE = "test_a_resumed_run_equals_the_whole_one", "test_its_degenerate_settings_are_their_parents"
EXPECTED: Mapping[str, set[str]] = {
    "Sound": set(),
    "AsksForReferences": set(),
    "Damped-parent=Sound": set(),
    "Thaws": {FROZEN},
    "Touches": {FROZEN, RESUMED},
    "Miscounts": {COUNTED},
    "Jumps": {"test_the_function_stays_over_task_boundaries"},
    # No weight holds an answer of its own, either.
    "Compares": {"test_answers_do_not_depend_on_their_neighbours", "test_what_it_says_of_merging_holds"},
    "Forgets": {RESUMED},
    "AddsNothing": {"test_added_terms_are_not_silently_zero"},
    "Unlearns": {"test_the_first_task_is_learned"},
    "SaysTooMuch": {"test_carried_bytes_are_the_bytes_on_disk"},
    "MergesWrongly": {"test_merged_is_unmerged"},
    "Sound-parent=Sound": {DEGENERATE},
    "Damped-parent=Jumps": {DEGENERATE},
}
TESTS = """
from suite.testing.methods import MethodConformance

class TestFaulty(MethodConformance):
    methods = ({methods},)
    streams = (
        {{
            "benchmark": {{"name": "mini-mtil", "domains": ["arrows", "flags"], "shots": 2}},
            "training": {{"steps": 6, "batch_size": 8, "lr": 1e-3}},
        }},
    )
"""


class Failures:
    """Which tests failed, by the case."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name, _, case = report.nodeid.rpartition("::")[2].partition("[")
        failed = self.found.setdefault(case.removesuffix("]"), {})
        if report.failed:
            failed[name] = report.longreprtext


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_fault_fails_the_test_that_is_meant_for_it(installed: Callable[[dict[str, str]], Path], tmp_path: Path) -> None:
    installed(
        {
            "outsider/__init__.py": "",
            "outsider/method.py": (Path(__file__).parent / "faulty.py").read_text(encoding="utf-8"),
            "outsider-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n",
            "outsider-1.0.dist-info/entry_points.txt": "[codyra_suite.methods]\nfaulty = outsider.method:FaultyConfig\n",
        }
    )
    cases = [case.split("-parent=") for case in EXPECTED]
    methods = ", ".join(
        repr({"name": "faulty", "fault": fault, **({"parent": off[0]} if off else {})}) for fault, *off in cases
    )
    (tmp_path / "test_faulty.py").write_text(TESTS.format(methods=methods), encoding="utf-8")
    failures = Failures()
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path / "test_faulty.py")], plugins=[failures]
    )
    ids = {f"faulty-fault={name}-mini-mtil": expected for name, expected in EXPECTED.items()}
    assert {case: set(failed) for case, failed in failures.found.items()} == ids
    for failed in failures.found.values():
        assert all("method 'faulty' of package 'outsider 1.0': " in text for text in failed.values())
