"""The measurements run and compare what they say; speed itself is printed, not asserted."""

from __future__ import annotations

from suite.measuring.image_cache import measure_data


def test_rows() -> None:
    reading, resident, memory, killed = measure_data(images=256, size=64, build_images=2000, repeats=3)
    assert reading.unit == "images/s"
    assert reading.ratio > 1
    assert resident.fast < resident.plain
    assert memory.fast < 1074
    assert killed.fast < killed.plain
    assert "byte-identical" in killed.note
