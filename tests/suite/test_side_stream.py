"""Where there is one stream, what was meant to run beside runs in turn; tests/gpu has two."""

from __future__ import annotations

import torch

from suite.side_stream import SideStream


def test_on_a_cpu_the_result_is_there_at_once_and_itself() -> None:
    made: list[str] = []
    with SideStream(torch.device("cpu")).beside() as joined:
        result = torch.ones(2)
        made.append("inside")
    made.append("outside")
    assert joined(result) is result
    assert made == ["inside", "outside"]
