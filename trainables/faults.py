"""What a method's hooks may give back, and whose mistake it is when they raise.

A method of an outside package that gives something else, or raises, ends its run in one sentence with the package. A bug in a method
of the suite itself keeps its traceback.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from inspect import isabstract
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from suite.backbones.learner import Batch
from suite.errors import SuiteError, TrainingDiverged, raised
from suite.parts import MethodConfig
from suite.registry import BACKBONES, BENCHMARKS, METHODS
from trainables.crashes import ran_out_of_memory
from trainables.method import Method, MethodFacts

if TYPE_CHECKING:
    from suite.config import RunConfig

NO_BUG = {errno.ENOSPC, errno.EDQUOT}  # the disk's, whoever wrote


def built_method(config: MethodConfig) -> Method:
    """What ``config.build`` gives.

    Raises:
        SuiteError: the config of an outside package builds no ``Method``, or one that lacks a hook.
    """
    about = _about(config)
    try:
        method: Any = config.build()
    except TypeError as error:
        if about is None or "abstract" not in str(error):
            raise
        raise SuiteError(f"{about}: build() cannot make its method ({error}); correct the method.") from error
    if not isinstance(method, Method) or isabstract(type(method)):
        raise SuiteError(f"{about or 'method'}: build() gives {_shown(method)}, which is not a Method; correct it.")
    return method


def checked_steps(method: Method, steps: Any) -> int | None:
    """What ``Method.steps`` gave.

    Raises:
        SuiteError: it is neither a count nor None.
    """
    if steps is not None and (not _is_whole(steps) or steps < 0):
        raise _fault(method, f"steps() gives {_shown(steps)}, which is neither a count of steps nor None")
    return steps if steps is None else int(steps)


def checked_batches(method: Method, batches: Any) -> list[Batch]:
    """What ``Method.extra_batches`` gave.

    Raises:
        SuiteError: it is no list of batches.
    """
    if not isinstance(batches, list) or not all(isinstance(batch, Batch) for batch in batches):
        raise _fault(method, f"extra_batches() gives {_shown(batches)}, which is not a list of Batch")
    return batches


def checked_loss(method: Method, loss: Any, hook: str = "loss") -> Tensor:
    """What ``Method.loss``, or another ``hook`` that owes a loss, gave.

    Raises:
        SuiteError: it is not a scalar tensor.
    """
    if not isinstance(loss, Tensor) or loss.dim():
        raise _fault(method, f"{hook}() gives {_shown(loss)}, which is not a scalar tensor")
    return loss


def checked_scores(method: Method, scores: Any, images: int, classes: int) -> Tensor:
    """What ``Method.answer`` gave for so many ``images`` and ``classes``.

    Raises:
        SuiteError: it is not a tensor of shape (images, classes).
        TrainingDiverged: a score is NaN, which is larger and smaller than none.
    """
    if not isinstance(scores, Tensor) or scores.shape != (images, classes):
        raise _fault(method, f"answer() gives {_shown(scores)} where scores of shape ({images}, {classes}) are due")
    if bool(torch.isnan(scores).any()):
        raise TrainingDiverged(
            f"{named(method)}: answer() gives scores that are NaN; lower training.lr, or correct the method."
        )
    return scores


def checked_facts(method: Method, slots: Collection[str] | None = None) -> MethodFacts:
    """What ``Method.facts`` gives; ``slots`` are the names that ranks can be of, None where nobody knows.

    Raises:
        SuiteError: it is not ``MethodFacts``, or something in it is not what a record can hold: infinite, negative, of no slot.
    """
    facts: Any = method.facts()
    if not isinstance(facts, MethodFacts):
        raise _fault(method, f"facts() gives {_shown(facts)}, which is not a MethodFacts")
    counts = {"trainable_parameters": facts.trainable_parameters, "carried_bytes": facts.carried_bytes}
    for name, count in {**counts, **facts.effective_rank}.items():
        if not _is_whole(count) or count < 0:
            raise _fault(method, f"facts() says {count!r} for '{name}', which is not a count")
    for name in facts.effective_rank:
        if slots is not None and name not in slots:
            raise _fault(method, f"facts() says a rank of '{name}', which is not a slot of the backbone")
    learned = {} if facts.no_signal_rank is None else {"no_signal_rank": facts.no_signal_rank}
    for name, value in {**facts.chosen, **learned}.items():
        if not isinstance(value, str) and not (isinstance(value, int | float) and math.isfinite(value)):
            raise _fault(method, f"facts() says {_shown(value)} for '{name}', which no record can hold")
    if min(learned.values(), default=0) < 0:
        raise _fault(method, f"facts() says {facts.no_signal_rank} for 'no_signal_rank', which is not a rank")
    return facts


@contextmanager
def named_faults(config: RunConfig) -> Iterator[None]:
    """What code of an outside package raises inside becomes one sentence; see ``with_its_package``."""
    try:
        yield
    except Exception as error:
        if (told := with_its_package(error, config)) is error:
            raise
        raise told from error


def with_its_package(error: Exception, config: RunConfig) -> Exception:
    """``error``, or a sentence with the part of the run, its package and the line when an outside package's code raised it.

    What is no bug stays as it is: a mistake that is told already, too little memory, a full disk.
    """
    if isinstance(error, SuiteError | MemoryError) or ran_out_of_memory(f"{type(error).__name__} {error}"):
        return error
    if isinstance(error, OSError) and error.errno in NO_BUG:
        return error
    parts = [*config.method.with_parts_inside(), config.benchmark, config.backbone]
    owners = {_top(type(part).__module__): about for part in reversed(parts) if (about := _about(part)) is not None}
    trace, modules = error.__traceback__, list[str]()
    while trace is not None:
        modules.append(_top(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    about = next((owners[module] for module in reversed(modules) if module in owners), None)
    return error if about is None else SuiteError(f"{about}: {raised(error)}; correct or uninstall the package.")


def _about(part: Any) -> str | None:
    """``method 'x' of package 'y 1.0'`` for the config of a part that an outside package brought; None for the suite's own."""
    for registry in (METHODS, BENCHMARKS, BACKBONES):
        entry = registry.entries.get(part.name)
        if entry is not None and entry.package and _top(entry.module) == _top(type(part).__module__):
            return f"{registry.kind} '{part.name}' of {entry.owner}"
    return None


def _fault(method: Method, said: str) -> SuiteError:
    return SuiteError(f"{named(method)}: {said}; correct the method.")


def named(method: Method) -> str:
    """The method's class and, where it comes from one, its package."""
    top = _top(type(method).__module__)
    owners = [entry.owner for entry in METHODS.entries.values() if entry.package and _top(entry.module) == top]
    return f"method {type(method).__name__}{f' of {owners[0]}' if owners else ''}"


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return " ".join(repr(value).split())[:80]
