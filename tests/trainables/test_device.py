"""A name of a device is one that this machine has, or is refused in one sentence."""

from __future__ import annotations

import pytest
import torch

from suite.errors import ConfigError
from trainables.device import choose_device


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cpu:3", "all cores of a machine are one device, 'cpu'"),
        ("cuda:200", "this machine has"),
        ("cuda:4096", "this machine has"),  # torch reads it as cuda:0
        ("cuda:00", "is not a device"),
        ("mps", "is not a device"),
        ("cpu:", "is not a device"),
        ("", "is not a device"),
    ],
)
def test_what_is_no_device_of_this_machine_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^device: '{name}' .*{reason}.*; use "):
        choose_device(name)


def test_the_cpu_has_one_name() -> None:
    assert choose_device("cpu:0") == choose_device("cpu") == torch.device("cpu")
