"""What a few steps of a task have taken, for forecasts and measurements."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sample:
    """Some steps of one task: seconds of each, seconds of all that were spent waiting for batches, and what each took of the processors.

    Attributes:
        computing: by step, seconds of all threads of this process; what others on the machine do does not count.
    """

    seconds: list[float]
    waited: float
    computing: list[float]

    def measured_on(self, device: torch.device) -> list[float]:
        """What a step on ``device`` is said to take: by the clock beside a GPU, of the processors on a CPU."""
        return self.computing if device.type == "cpu" else self.seconds
