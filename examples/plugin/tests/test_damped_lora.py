"""The suite's conformance tests for this package's method, on its own benchmark and on the suite's tiny text stream."""

from suite.registry import SPACES
from suite.testing.methods import TEXTS, MethodConformance

OWN = {"benchmark": {"name": "bars-and-corners", "shots": 4}, "training": {"steps": 10, "batch_size": 8}}


class TestDampedLora(MethodConformance):
    methods = ("damped-lora", {"name": "damped-lora", "rank": 2, "amount": 0.9})
    streams = (OWN, TEXTS)


def test_the_space_is_of_the_method() -> None:
    assert SPACES["damped-lora"].method == "damped-lora"
