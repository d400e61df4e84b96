"""What ``list`` says of a config's fields, for every entry that there is."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from suite.cli.main import app
from suite.registry import BACKBONES, BENCHMARKS, METHODS


@pytest.mark.parametrize("kind", ["benchmarks", "methods", "backbones"])
def test_fields_are_shown_as_they_are_typed(kind: str) -> None:
    for name in {"benchmarks": BENCHMARKS, "methods": METHODS, "backbones": BACKBONES}[kind]:
        done = CliRunner().invoke(app, ["list", kind, name])
        assert done.exit_code == 0
        for inside in (" at 0x", "func ", "True", "False", "('"):
            assert inside not in done.stdout, f"{name}: {inside}"


def test_defaults_and_ranges_of_image_folders() -> None:
    said = CliRunner().invoke(app, ["list", "benchmarks", "image-folders"]).stdout
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line.strip()}
    assert rows["domains"].startswith("null tuple of str or null the domains to learn")
    assert rows["templates"].startswith("[a photo of a {}.] tuple of str, length at least 1 ")
    assert rows["cached"].startswith("false bool decode once per machine")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trackers", "tensorboard"), "Event files below one folder"),
        (("trackers", "none"), "nothing is logged"),
        (("scores", "rouge-l"), "longest common subsequence"),
        (("exporters",), "one adapter folder per task for peft"),
    ],
)
def test_one_of_what_has_no_fields_is_described(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["list", *words])
    assert (done.exit_code, said in done.stdout) == (0, True), done.output
