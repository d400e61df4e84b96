"""A user's own pictures and class names on the shipped backbone, typed as a user would."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from suite.runs.record import read_record

NAMES = {"Forest": "woods from above", "SeaLake": "Meer oder See", "Residential": "houses & gardens", "Highway": "motorway"}
GAIN = 20  # points above zero-shot; four classes, so chance is at 25


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(600)
def test_own_class_names_are_learned_and_the_backbone_is_called_a_toy(
    real_data: Callable[[str], Path], terminal: ModuleType, tmp_path: Path
) -> None:
    source = real_data("images_real/eurosat")
    for part in ("train", "test"):
        for folder, name in NAMES.items():
            shutil.copytree(source / part / folder, tmp_path / "pictures" / "landscapes" / part / name)
    words = ["run", "image-folders", "--method", "lora", "--data-root", "pictures", "--tracking", "none", "--out", "out"]
    shown = terminal.run_in_terminal(terminal.suite(*words), tmp_path, seconds=500)
    shown.require_whole()
    text = " ".join(shown.text.split())
    assert text.count("mini-clip is a toy") == 1
    assert "a real model is named by --set backbone.name=open-clip --set benchmark.image_size=224" in text
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    record = read_record(folder)
    before, after = record.test[0][0], record.test[1][0]
    assert before is not None and after is not None
    assert after > before + GAIN
    assert f"{before:.1f}" in shown.text and f"{after:.1f}" in shown.text
