"""The command that makes up tunings of equal methods; what it counts is tested beside the table, in ``test_tuned``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from suite.cli.main import app
from suite.measuring.null_tuning import allowed, equal_methods, measure_null


@pytest.mark.slow
def test_the_shares_are_printed_and_the_exit_code_is_their_verdict() -> None:
    said = measure_null(equal_methods(2, 1, 1), 20)
    done = CliRunner().invoke(app, ["dev", "perf", "null", "--tunings", "20", "--methods", "2", "--seeds", "1"])
    lines = done.stdout.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        *(f"{100 * share:.1f} % of 20 tunings" for share in (said.better, said.better_by_default, said.changed)),
        f"{said.optimism:.1f} points",
    ]
    assert done.exit_code == int(said.better > allowed(20))
