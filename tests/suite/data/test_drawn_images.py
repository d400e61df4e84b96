"""The shipped scans are those of the UCI set, and the embedded streams stay what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from suite.benchmarks.mini import MiniMtilConfig, MiniXtailConfig
from suite.data import drawn_images
from suite.data.drawn_images import _scans, draw_domain
from suite.errors import DataError


def test_the_shipped_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    scans, labels = _scans()
    assert np.array_equal(scans, (bundle.images / 16).astype(np.float32))
    assert np.array_equal(labels, bundle.target)


def test_the_embedded_streams_are_what_they_were() -> None:
    """Other fingerprints need new shipped weights (the drawings are what they were pretrained on) and change every result."""
    assert MiniMtilConfig().build(Path()).fingerprint().startswith("134f4be11ba3beab")
    assert MiniXtailConfig(order="II", shots=4).build(Path()).fingerprint().startswith("42f00b3260e06ca5")


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_other_scans_are_refused(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "digits.npz"
    if damage == "changed":
        path.write_bytes(drawn_images.DIGITS.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(drawn_images, "DIGITS", path)
    _scans.cache_clear()
    with pytest.raises(DataError, match="reinstall the suite"):
        draw_domain("digits", "test", 1, 0)
    _scans.cache_clear()
