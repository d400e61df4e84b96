"""Images of a stream on their way to the network: uint8 at rest, cropped and normalised on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.benchmarks.stream import ImageTask, Split

RESIDENT_BYTES = 2 << 30  # splits up to this size in total stay on the device
# Preprocessing of every CLIP code base of the field (openai/CLIP clip.py).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class PixelStore:
    """uint8 images by task and split; small streams live on the device, large ones stay memory-mapped."""

    def __init__(self, tasks: Sequence[ImageTask], device: torch.device) -> None:
        self.tasks = tasks
        self.device = device
        total = sum(part.pixels.nbytes for task in tasks for part in (task.train, task.validation, task.test))
        self.resident = total <= RESIDENT_BYTES
        self._device_copies: dict[tuple[int, Split], Tensor] = {}
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

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
        pixels = torch.cat(parts)[back.to(self.device)] if len(parts) > 1 else parts[0]
        augmented = any(self.tasks[task].augmentation == "crop" for task in set(tasks.tolist()))
        pixels = self._normalised(pixels)
        if augmented:
            pixels = random_resized_crop(pixels, generator)
        return {"pixels": pixels, "labels": torch.cat(labels)[back].to(self.device), "tasks": tasks.to(self.device)}

    def eval_batches(self, task: int, split: Split, size: int) -> Iterator[Tensor]:
        """Normalised images of a split in order, at most ``size`` at a time."""
        for rows in torch.arange(len(getattr(self.tasks[task], split))).split(size):
            yield self._normalised(self._read(task, split, rows))

    def _read(self, task: int, split: Split, rows: Tensor) -> Tensor:
        pixels = getattr(self.tasks[task], split).pixels
        if not self.resident:
            chosen = torch.from_numpy(np.ascontiguousarray(pixels[rows.numpy()]))
            return chosen.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else chosen
        key = (task, split)
        if key not in self._device_copies:
            self._device_copies[key] = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        return self._device_copies[key][rows.to(self.device)]

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255.0 - self._mean) / self._std


def random_resized_crop(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Crop of area 0.9 to 1 and aspect 3/4 to 4/3 per image, resized back (bilinear grid); (n, 3, h, w) -> same.

    The papers' training transform, on the device and for the whole batch at once. Draws come from the CPU ``generator``.
    """
    n, _, height, width = pixels.shape
    area = torch.empty(n).uniform_(0.9, 1.0, generator=generator)
    aspect = torch.empty(n).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator).exp()
    crop_h = (area / aspect).sqrt().clamp(max=1.0)
    crop_w = (area * aspect).sqrt().clamp(max=1.0)
    top = torch.rand(n, generator=generator) * (1 - crop_h)
    left = torch.rand(n, generator=generator) * (1 - crop_w)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = crop_w, crop_h
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + crop_w - 1, 2 * top + crop_h - 1
    grid = F.affine_grid(theta.to(pixels.device), [n, 3, height, width], align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
