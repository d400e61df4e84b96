"""The training crop against torchvision's own, on the device side of the cache."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from suite.backbones.pixels import PixelStore, crop_windows, random_resized_crop
from suite.benchmarks.stream import ImageTask
from suite.data.examples import ImageExamples
from suite.data.pixel_map import PixelMap


def theirs(width: int, height: int, count: int) -> np.ndarray:
    """Windows of torchvision as fractions: left, top, width, height."""
    torch.manual_seed(0)
    image = torch.zeros(1, height, width)
    drawn = [RandomResizedCrop.get_params(image, [0.9, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    return np.asarray([(left / width, top / height, w / width, h / height) for top, left, h, w in drawn])


@pytest.mark.parametrize(("width", "height"), [(1000, 1000), (1000, 800), (800, 1000), (1000, 750), (1024, 680), (500, 1600)])
def test_windows_have_torchvisions_distribution(width: int, height: int) -> None:
    """Means and quantiles of 4000 windows each; 0.01 is more than six standard errors of every one of them."""
    count = 4000
    reference = theirs(width, height, count)
    ours = crop_windows(torch.full((count,), width / height), torch.Generator().manual_seed(1)).numpy()
    assert np.abs(ours.mean(axis=0) - reference.mean(axis=0)).max() < 0.01
    for quantile in (0.1, 0.5, 0.9):
        difference = np.quantile(ours, quantile, axis=0) - np.quantile(reference, quantile, axis=0)
        assert np.abs(difference).max() < 0.015
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= 1 + 1e-6).all()


def test_extreme_pictures_are_cut_to_the_allowed_shape_in_the_middle() -> None:
    windows = crop_windows(torch.tensor([3.0, 1 / 3]), torch.Generator().manual_seed(0))
    assert torch.allclose(windows[0], torch.tensor([(1 - 4 / 9) / 2, 0, 4 / 9, 1]))
    assert torch.allclose(windows[1], torch.tensor([0, (1 - 4 / 9) / 2, 1, 4 / 9]))


def test_crop_of_a_squeezed_picture_is_the_crop_of_the_picture() -> None:
    """A smooth 300 x 200 picture, squeezed to 64 x 64 and cropped there, against PIL's crop and resize of the picture."""
    small = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((300, 200), Image.Resampling.BICUBIC)
    squeezed = torch.from_numpy(np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC)).copy())
    pixels = squeezed.permute(2, 0, 1)[None].float()
    aspect = torch.tensor([1.5])
    for seed in range(5):
        ours = random_resized_crop(pixels, torch.Generator().manual_seed(seed), aspect)[0].permute(1, 2, 0).numpy()
        left, top, wide, high = crop_windows(aspect, torch.Generator().manual_seed(seed))[0].tolist()
        box = (left * 300, top * 200, (left + wide) * 300, (top + high) * 200)
        reference = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC, box=box)).astype(float)
        assert np.abs(ours.clip(0, 255) - reference).mean() < 1.0


def test_memory_mapped_examples_give_the_batches_of_plain_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    (tmp_path / "pixels.u8").write_bytes(pixels.tobytes())
    labels, ids = np.arange(6) % 2, tuple("abcdef")
    batches = []
    for source in (pixels, PixelMap.over(tmp_path / "pixels.u8", pixels.shape)):
        examples = ImageExamples(source, labels, ids, aspects=np.full(6, 1.1, dtype=np.float32))
        task = ImageTask("t", examples, examples, examples, ("x", "y"), ("{}",), ("{}",), augmentation="crop")
        store = PixelStore([task], torch.device("cpu"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = torch.tensor([4, 0, 4])
            batches.append(store.train_batch(torch.zeros(3, dtype=torch.long), rows, torch.Generator().manual_seed(0)))
    assert torch.equal(batches[0]["pixels"], batches[1]["pixels"])
    assert not torch.equal(batches[0]["pixels"][0], batches[0]["pixels"][2])  # the same picture, another window
