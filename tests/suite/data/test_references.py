"""Reference sets: what is found, what is refused, what a learner makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.lora import Lora, LoraConfig
from suite.config import RunConfig
from suite.data.references import find_references
from suite.errors import ConfigError, DataError
from trainables.stream_trainer import StreamTrainer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "references"
    for name, level in {"b.png": 0, "inner/a.png": 255, "inner/c.jpg": 128}.items():
        (place / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), level, dtype=np.uint8)).save(place / "images" / name)
    (place / "texts.txt").write_text("a circle\n\n  a square \n", encoding="utf-8")
    return place


def test_pictures_and_captions_are_found(folder: Path) -> None:
    found = find_references(folder)
    assert found.images.ids == ("b.png", "inner/a.png", "inner/c.jpg")
    assert found.texts == ("a circle", "a square")


def test_a_learner_reads_them_without_labels(folder: Path, make_trainer: Callable[..., StreamTrainer]) -> None:
    """Black and white in CLIP's normalisation: (0 - mean) / deviation and (1 - mean) / deviation of the first channel."""
    learner = make_trainer(LoraConfig()).learner
    learner.use_references(find_references(folder))
    assert learner.references is not None
    batch = learner.references.batch(torch.tensor([0, 1]))
    assert batch.inputs["pixels"][:, 0, 0, 0].tolist() == pytest.approx([-1.7922626, 1.9303361], abs=1e-4)
    output = learner.forward(batch)
    assert output.task_loss is None
    assert output.features.shape == (2, 64)
    assert output.features.norm(dim=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert learner.references.texts.shape[0] == 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "texts.txt").unlink(), "texts.txt"),
        (lambda folder: (folder / "texts.txt").write_text("\n"), "3 pictures and 0 captions"),
        (lambda folder: (folder / "images" / "x.gif").write_bytes(b"GIF89a"), r"x.gif: is not a .png, .jpg, .jpeg file"),
        (lambda folder: (folder / "images").rename(folder / "pictures"), "images: is not a folder"),
    ],
)
def test_what_is_no_reference_set_is_named(spoil: Callable[[Path], object], said: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=said):
        find_references(folder)


def test_their_content_is_part_of_the_run(folder: Path, make_config: Callable[..., RunConfig]) -> None:
    fields = make_config("lora").resolved()
    config = RunConfig.model_validate({**fields, "references": {"folder": str(folder)}})
    moved = folder.rename(folder.parent / "elsewhere")
    again = RunConfig.model_validate({**fields, "references": {"folder": str(moved)}})
    assert again.identity() == RunConfig.model_validate(again.resolved()).identity()
    before = again.identity()
    (moved / "texts.txt").write_text("another caption\n")
    assert again.identity() != before
    assert make_config("lora").identity() != before
    assert config.settings_hash() != again.settings_hash()


def test_a_method_that_needs_references_is_refused_without(
    make_trainer: Callable[..., StreamTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lora, "needs", frozenset({"clip", "references"}))
    with pytest.raises(ConfigError, match=r"needs a reference set .* references\.folder"):
        make_trainer(LoraConfig())
    monkeypatch.setattr(Lora, "needs", frozenset({"lm"}))
    with pytest.raises(ConfigError, match="needs a language model, and the backbone is a CLIP"):
        make_trainer(LoraConfig())
