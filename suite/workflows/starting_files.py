"""Files to start from: a run, a sweep or a tuning with a comment on every line that one would change; each works as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from suite.errors import ConfigError, unknown_name
from suite.files import write_output
from suite.parts import TrainingConfig
from suite.registry import BENCHMARKS, METHODS, SPACES
from suite.workflows.arguments import PathGiven, checked
from suite.workflows.listing import fields_listing
from suite.workflows.places import output_file

RUN = """\
# One run: one stream learned with one method. Check it, then start it:
#   codyra-suite run $file --dry-run
#   codyra-suite run $file
# What is left out has its default; lines that begin with '#' show it, with what is allowed behind.
benchmark:
  name: $benchmark  # codyra-suite list benchmarks
$benchmark_fields
method:
  name: $method  # codyra-suite list methods
$method_fields
training:  # the same for every task; steps replaces epochs and the other way round
$training_fields
seed: 0
"""
SWEEP = """\
# A study: Optuna searches the space of a method by validation numbers. See its cost, then start it:
#   codyra-suite plan $file
#   codyra-suite sweep $file
# An interrupted study goes on with --resume.
name: $name
run:  # fields of a run, see 'codyra-suite init run'; the same in every trial
  benchmark: {name: $benchmark}
  method: {name: $method}
  training: {$steps}  # per task
space: $space  # what is searched: codyra-suite list spaces $space
objectives: [zscl.last]  # on validation data; the first one is the headline. Several make a Pareto front: [zscl.last, zscl.transfer]
budget: {trials: 8}  # or wall_seconds, run_seconds, gpu_hours beside it
# seeds: [0, 1]  # every trial is learned with each of these; without it once, with seed 0
# sampler: tpe  # or random, grid, ...
# stopping: {rule: median}  # ends trials early that fall behind
# resources: {cpus: 1, gpus: 0}  # what one trial occupies; a share such as gpus: 0.25 lets trials share a card
# concurrency: 2  # trials at a time; without it as many as fit
"""
TUNE = """\
# A fair comparison: every method is tuned with the same budget, then its default and its chosen setting run on fresh seeds.
#   codyra-suite plan $file
#   codyra-suite tune $file
# An interrupted tuning goes on with --resume.
name: $name
benchmarks: [$benchmark]  # codyra-suite list benchmarks
methods: [$methods]  # codyra-suite list methods; those with a search space are tuned
settings: {training: {$steps}}  # the same for every method
budget: {trials: 4}  # of each method; or run_seconds, or gpu_hours
judge: {seeds: [1, 2, 3]}  # no trial uses them
# objective: zscl.last  # on validation data
# search_seeds: [0]  # of the trials
# resources: {cpus: 1, gpus: 0}  # what one run occupies
# concurrency: 2  # runs at a time; without it as many as fit
"""
KINDS: Mapping[str, str] = MappingProxyType({"run": RUN, "sweep": SWEEP, "tune": TUNE})
STEPS = {"codyra": 60}  # per task: CoDyRA's schedule of thresholds needs some
LIKE = ("zero-shot", "lora")  # what a method is compared with


@checked
def init(kind: str, file: PathGiven | None = None, *, benchmark: str = "mini-mtil", method: str = "codyra") -> Path:
    """Write a file to start from and return its path.

    Args:
        kind: ``run``, ``sweep`` or ``tune``.
        file: None = ``<kind>.yaml`` in the working folder.
        benchmark, method: that the file names.

    Raises:
        SuiteError: no such kind, benchmark or method, a method without a search space, or a file that is there already.
    """
    if kind not in KINDS:
        raise unknown_name("kind of file", kind, KINDS)
    place = output_file(file if file is not None else f"{kind}.yaml")
    if place.is_file():
        raise ConfigError(f"'{place}': is there already and is never overwritten; name another file with --file.")
    write_output(place, starting_text(kind, place, benchmark, method).encode())
    return place


def starting_text(kind: str, file: Path, benchmark: str, method: str) -> str:
    """The text of such a file.

    Raises:
        ConfigError: no such benchmark or method, or nothing of the method to search.
    """
    stream, config = BENCHMARKS.find(benchmark), METHODS.find(method)
    spaces = [name for name in SPACES.usable()[0] if SPACES[name].method == method]
    if kind == "sweep" and not spaces:
        raise ConfigError(
            f"method '{method}' has no search space to sweep; 'codyra-suite list spaces' shows those that there are."
        )
    quick = [name for name in spaces if name.endswith("-quick")]
    return Template(KINDS[kind]).substitute(
        file=file,
        name=file.stem if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", file.stem) else kind,
        benchmark=benchmark,
        method=method,
        methods=", ".join(dict.fromkeys([*LIKE, method])),
        space=(quick or spaces or [""])[0],
        steps=f"steps: {STEPS.get(method, 30)}",
        benchmark_fields=_comments(stream),
        method_fields=_comments(config),
        training_fields=_comments(TrainingConfig, stream.budget),
    )


def _comments(model: type[BaseModel], instead: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Every field with its default (or what stands ``instead`` of it), range and meaning, as a comment; ``required`` has to be filled in."""
    return "\n".join(
        f"  # {name}: {instead.get(name, default)}  # {allowed}" + (f"; {' '.join(meaning.split())}" if meaning else "")
        for name, default, allowed, meaning in fields_listing(model).rows
    )
