"""Decoding: the geometry of the papers' own transforms, every pixel format, no silent repair."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from suite.data.decode import decode, decode_raw, read_raw, require_picture, to_rgb, to_square
from suite.data.items import FileSource, open_picture
from suite.errors import DataError


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([16, 33, 64]))
def test_centre_is_the_papers_test_transform(width: int, height: int, size: int) -> None:
    image = photo(width, height)
    reference = Compose([Resize(size, interpolation=InterpolationMode.BICUBIC), CenterCrop(size)])(image)
    assert np.array_equal(np.asarray(to_square(image, size, "centre")), np.asarray(reference))


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of that size, as far as it is read before its pixels are."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def test_pictures_of_any_size_are_read(tmp_path: Path) -> None:
    source = FileSource(tmp_path)
    Image.new("L", (60_000, 1), 200).save(tmp_path / "strip.png")
    Image.new("L", (1, 1), 200).save(tmp_path / "dot.png")
    for name in ("strip.png", "dot.png"):
        assert (decode(source, name, 224, "centre") == 200).all()
        assert (decode(source, name, 224, "whole") == 200).all()
    assert open_picture(png_header(20_000, 20_000)).size == (20_000, 20_000)  # Pillow alone takes that for an attack


@pytest.mark.parametrize("turned", [False, True])
def test_the_middle_of_a_strip_is_what_the_whole_would_give(monkeypatch: pytest.MonkeyPatch, turned: bool) -> None:
    image = photo(3001, 7)
    image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
    whole = np.asarray(to_square(image, 16, "centre")).astype(int)
    monkeypatch.setattr("suite.data.decode.MOST_SCALED", 1000)
    assert np.abs(np.asarray(to_square(image, 16, "centre")).astype(int) - whole).max() <= 1


def test_what_no_memory_can_hold_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(40_000, 40_000))
    with pytest.raises(DataError, match=r"huge\.png: cannot be read as an image \(40000 x 40000 pixels, 1073741824 at most\)"):
        decode(FileSource(tmp_path), "huge.png", 32)


def test_whole_keeps_every_edge() -> None:
    pixels = np.zeros((50, 200, 3), dtype=np.uint8)
    pixels[:, :20] = 255
    square = np.asarray(to_square(Image.fromarray(pixels), 40, "whole"))
    assert square.shape == (40, 40, 3)
    assert square[:, :3].min() == 255
    assert np.asarray(to_square(Image.fromarray(pixels), 40, "centre")).max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_eight_bit_formats_become_pils_own_rgb(mode: str) -> None:
    image = photo(20, 20).convert("RGBA").convert("LA") if mode == "LA" else photo(20, 20).convert(mode)
    assert np.array_equal(np.asarray(to_rgb(image, "here")), np.asarray(image.convert("RGB")))


def test_files_in_every_format(tmp_path: Path) -> None:
    image = photo(40, 40)
    grey = np.asarray(image.convert("L"))
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    image.quantize(64).save(tmp_path / "palette.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    source = FileSource(tmp_path)
    colour = np.asarray(image).transpose(2, 0, 1).astype(int)
    assert np.abs(decode(source, "cmyk.jpg", 40) - colour).mean() < 12
    assert np.abs(decode(source, "palette.png", 40) - colour).mean() < 20
    deep = decode(source, "deep.png", 40)
    assert np.array_equal(deep, decode(source, "grey.png", 40))
    assert np.array_equal(deep[0], grey)


def test_unknown_range_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match=r"float\.tiff: has pixel format 'F'"):
        decode(FileSource(tmp_path), "float.tiff", 8)


@pytest.mark.parametrize(("low", "high", "kept"), [(0, 255, "1 level"), (3, 1023, "4 levels")])
def test_sixteen_bits_of_which_eight_would_keep_next_to_nothing_are_refused(
    tmp_path: Path, low: int, high: int, kept: str
) -> None:
    """Sensors give 10 or 12 bits; their high byte alone is black."""
    ramp = np.linspace(low, high, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "dark.png")
    source = FileSource(tmp_path)
    refused = rf"dark\.png: holds 16-bit grey from {low} to {high}, of which the 8 bits that are read keep {kept}; stretch it"
    with pytest.raises(DataError, match=refused):
        decode(source, "dark.png", 8)
    with pytest.raises(DataError, match=refused):
        require_picture(source, "dark.png", read_raw(source, "dark.png"))
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(tmp_path / "black.png")
    assert not decode(source, "black.png", 8).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_of_a_users_own_stand_as_their_camera_was_held(tmp_path: Path, orientation: int) -> None:
    image, exif = photo(40, 20), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as stored:
        seen = ImageOps.exif_transpose(stored)
    for upright, expected in ((True, seen), (False, image)):
        source = FileSource(tmp_path, upright=upright)
        square = decode_raw(source, "turned.png", read_raw(source, "turned.png"), 16, "centre")
        assert np.array_equal(square.pixels.transpose(1, 2, 0), np.asarray(to_square(expected.convert("RGB"), 16, "centre")))
        assert square.aspect == expected.width / expected.height


def test_exif_that_cannot_be_read_turns_nothing(tmp_path: Path) -> None:
    image = photo(40, 20)
    image.save(tmp_path / "odd.jpg", exif=b"Exif\x00\x00nonsense")
    image.save(tmp_path / "plain.jpg")
    for name in ("odd.jpg", "plain.jpg"):
        upright, stored = (decode(FileSource(tmp_path, upright=way), name, 16) for way in (True, False))
        assert np.array_equal(upright, stored)


def test_absent_and_truncated_files_are_named(tmp_path: Path) -> None:
    source = FileSource(tmp_path)
    with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
        decode(source, "gone.png", 8)
    photo(64, 64).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut.jpg").write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.jpg: cannot be read as an image"):
            decode(source, "cut.jpg", 8)
