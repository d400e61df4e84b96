"""Images of a stream on their way to the network: uint8 at rest, cropped and normalised on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from suite.backbones.transfer import send
from suite.benchmarks.stream import ImageTask, LabelSpace, Stream
from suite.data.examples import SPLITS, Split
from suite.errors import ConfigError

HOST_BYTES = 2 << 30  # images kept as a copy in the host's memory; larger streams stay memory-mapped
DEVICE_SHARE = 4  # of a GPU's free memory, one part in four may hold images
PIECE = 1024  # images sent at a time when a split moves to the device
# Preprocessing of every CLIP code base of the field (openai/CLIP clip.py).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def require_images(stream: Stream, backbone: str, size: tuple[int, int]) -> list[ImageTask]:
    """The tasks of ``stream``; ConfigError unless they are pictures of the height and width that ``backbone`` reads."""
    if stream.protocol is LabelSpace.GENERATION:
        raise ConfigError(f"backbone '{backbone}' classifies images; benchmark '{stream.name}' needs a language model.")
    height, width = size
    tasks = [task for task in stream.tasks if isinstance(task, ImageTask)]
    for task in tasks:
        if task.train.pixels.shape[2:] != (height, width):
            found = " x ".join(str(side) for side in task.train.pixels.shape[2:])
            raise ConfigError(
                f"benchmark {stream.name}: the pictures of task '{task.name}' are {found}, backbone '{backbone}' reads {height} x {width}; "
                f"set benchmark.image_size={height} where the benchmark has it, or use another backbone."
            )
    return tasks


def image_size(visual: Any) -> tuple[int, int]:
    """Height and width of the pictures that an image encoder of open_clip reads."""
    size = visual.image_size
    return size if isinstance(size, tuple) else (size, size)


class Normaliser:
    """uint8 pictures (n, 3, h, w) as the network reads them: float, with CLIP's mean and deviation per channel."""

    def __init__(self, device: torch.device) -> None:
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255.0 - self._mean) / self._std


class PixelStore:
    """uint8 images by task and split; what fits lives on the device, training images first, the rest stays memory-mapped."""

    def __init__(self, tasks: Sequence[ImageTask], device: torch.device) -> None:
        self.tasks = tasks
        self.device = device
        room = torch.cuda.mem_get_info(device)[0] // DEVICE_SHARE if device.type == "cuda" else HOST_BYTES
        self._resident: set[Split] = set()
        for split in SPLITS:
            room -= sum(getattr(task, split).pixels.nbytes for task in tasks)
            if room >= 0:
                self._resident.add(split)
        self._device_copies: dict[tuple[int, Split], Tensor] = {}
        self._normalised = Normaliser(device)

    def labels(self, task: int, split: Split) -> Tensor:
        """(n,) int64 labels on the CPU."""
        return torch.from_numpy(np.asarray(getattr(self.tasks[task], split).labels, dtype=np.int64))

    def train_batch(self, tasks: Tensor, rows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Pixels (n, 3, h, w) float, labels (n,) and tasks (n,) on the device."""
        parts, labels, order = [], [], []
        for task in sorted(set(tasks.tolist())):
            place = (tasks == task).nonzero().flatten()
            parts.append(self._read(task, "train", rows[place]))
            labels.append(self.labels(task, "train")[rows[place]])
            order.append(place)
        back = torch.argsort(torch.cat(order))
        pixels = torch.cat(parts)[send(back, self.device)] if len(parts) > 1 else parts[0]
        augmented = any(self.tasks[task].augmentation == "crop" for task in set(tasks.tolist()))
        pixels = self._normalised(pixels)
        if augmented:
            pixels = random_resized_crop(pixels, generator, self._aspects(tasks, rows))
        return {"pixels": pixels, "labels": send(torch.cat(labels)[back], self.device), "tasks": send(tasks, self.device)}

    def eval_batches(self, tasks: Sequence[int], split: Split, size: int) -> Iterator[Tensor]:
        """Normalised images of a split of ``tasks`` in order, ``size`` at a time whatever task they belong to."""
        found: list[Tensor] = []
        for task in tasks:
            start, count = 0, len(self.labels(task, split))
            while start < count:
                stop = min(count, start + size - sum(len(part) for part in found))
                found.append(self._read(task, split, slice(start, stop)))
                start = stop
                if sum(len(part) for part in found) == size:
                    yield self._normalised(torch.cat(found))
                    found = []
        if found:
            yield self._normalised(torch.cat(found))

    def _read(self, task: int, split: Split, rows: Tensor | slice) -> Tensor:
        pixels = getattr(self.tasks[task], split).pixels
        if split not in self._resident:
            return send(_taken(pixels, rows), self.device)
        key = (task, split)
        if key not in self._device_copies:
            self._device_copies[key] = self._on_device(pixels)
        return self._device_copies[key][rows if isinstance(rows, slice) else send(rows, self.device)]

    def _on_device(self, pixels: NDArray[np.uint8]) -> Tensor:
        """A whole split, sent in pieces so that the host never holds it twice; on a CPU an array in memory is used as it is."""
        if self.device.type == "cpu" and pixels.flags.writeable:
            return torch.from_numpy(np.ascontiguousarray(pixels))
        whole = torch.empty(pixels.shape, dtype=torch.uint8, device=self.device)
        for start in range(0, len(pixels), PIECE):
            rows = slice(start, min(start + PIECE, len(pixels)))
            whole[rows] = send(_taken(pixels, rows), self.device)
        return whole

    def _aspects(self, tasks: Tensor, rows: Tensor) -> Tensor:
        """(n,) width / height of the pictures that were squeezed into their squares, 1 for all others."""
        aspects = torch.ones(len(rows))
        for task in set(tasks.tolist()):
            known = self.tasks[task].train.aspects
            if known is not None:
                place = (tasks == task).nonzero().flatten()
                aspects[place] = torch.from_numpy(known[rows[place].numpy()])
        return aspects


def _taken(pixels: NDArray[np.uint8], rows: Tensor | slice) -> Tensor:
    """A copy of some images; by row numbers, because a memory map then gives its pages back."""
    numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows.numpy()
    return torch.from_numpy(np.asarray(pixels[numbers]))


def random_resized_crop(pixels: Tensor, generator: torch.Generator, aspects: Tensor | None = None) -> Tensor:
    """A random window of each image, resized back (bicubic grid); (n, 3, h, w) -> same.

    The papers' training transform, on the device and for the whole batch at once. Draws come from the CPU ``generator``.
    """
    n, _, height, width = pixels.shape
    left, top, wide, high = crop_windows(torch.ones(n) if aspects is None else aspects, generator).unbind(1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = wide, high
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + wide - 1, 2 * top + high - 1
    grid = F.affine_grid(send(theta, pixels.device), [n, 3, height, width], align_corners=False)
    return F.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)


def crop_windows(aspects: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 4) windows as fractions of the picture: left, top, width, height; ``aspects`` (n,) is width / height.

    Area 0.9 to 1, shape 3/4 to 4/3, the first of ten attempts that fits; where none does, the largest middle window of
    allowed shape. Source: torchvision.transforms.RandomResizedCrop.get_params, but not rounded to whole pixels.
    """
    n = len(aspects)
    area = torch.empty(n, 10).uniform_(0.9, 1.0, generator=generator)
    shape = torch.empty(n, 10).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator).exp()
    place = torch.rand(n, 2, generator=generator)
    tried = torch.stack([(area * shape / aspects[:, None]).sqrt(), (area / shape * aspects[:, None]).sqrt()], dim=2)
    fits = (tried <= 1).all(dim=2)  # (n, 10)
    first = tried[torch.arange(n), fits.int().argmax(dim=1)]  # (n, 2): width, height
    middle = torch.stack([4 / 3 / aspects, aspects * 4 / 3], dim=1).clamp(max=1)
    found = fits.any(dim=1, keepdim=True)
    extent = torch.where(found, first, middle)
    return torch.cat([torch.where(found, place, 0.5) * (1 - extent), extent], dim=1)
