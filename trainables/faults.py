"""What a method's hooks may give back; a method of an outside package that gives something else is named with its package."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from suite.errors import SuiteError
from suite.registry import METHODS
from trainables.method import Method, MethodFacts


def checked_loss(method: Method, loss: Any) -> Tensor:
    """What ``Method.loss`` gave.

    Raises:
        SuiteError: it is not a scalar tensor.
    """
    if not isinstance(loss, Tensor) or loss.dim():
        given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        raise SuiteError(f"{_named(method)}: loss() gives {given}, which is not a scalar tensor; correct the method.")
    return loss


def checked_facts(method: Method) -> MethodFacts:
    """What ``Method.facts`` gives.

    Raises:
        SuiteError: it is not ``MethodFacts``, or a number in it is not one or is infinite, which no record can hold.
    """
    facts = method.facts()
    if not isinstance(facts, MethodFacts):
        raise SuiteError(f"{_named(method)}: facts() gives {facts!r}, which is not a MethodFacts; correct the method.")
    counts = {"trainable_parameters": facts.trainable_parameters, "carried_bytes": facts.carried_bytes}
    numbers = {**counts, **facts.effective_rank, "no_signal_rank": facts.no_signal_rank, **facts.chosen}
    for name, value in numbers.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SuiteError(
                f"{_named(method)}: facts() says {value} for '{name}', which no record can hold; correct the method."
            )
        if name in counts and (not isinstance(value, int) or value < 0):
            raise SuiteError(
                f"{_named(method)}: facts() says {value!r} for '{name}', which is not a count; correct the method."
            )
    return facts


def _named(method: Method) -> str:
    """The method's class and, where it comes from one, its package."""
    top = type(method).__module__.partition(".")[0]
    owners = [entry.owner for entry in METHODS.entries.values() if entry.package and entry.module.partition(".")[0] == top]
    return f"method {type(method).__name__}{f' of {owners[0]}' if owners else ''}"
