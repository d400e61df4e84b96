"""A short measured probe of a run: real steps and one real evaluation in a fresh process, for forecasts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from suite.config import RunConfig, validate
from suite.cost_meter import peak_bytes, reset_peak
from suite.method_titles import method_title
from suite.workflows.own_process import in_own_process
from trainables.assemble import assemble
from trainables.device import choose_device
from trainables.stream_trainer import StreamTrainer

WARM_UP, SAMPLED = 4, 8  # steps per probed task; the fourth is where a GPU records
EVALUATION_SECONDS = 60.0  # evaluations that would take longer are extrapolated from smaller ones


@dataclass(frozen=True)
class Probe:
    """What one run costs, measured. Seconds and bytes.

    Attributes:
        steps: optimizer steps of each task; ``step_seconds``: of one step, median over the probed tasks' samples.
        begin_seconds: by how much a task's first steps take longer than others.
        evaluate_seconds: of the evaluations after all tasks together.
        host_bytes, device_bytes: peaks over steps and evaluation; the device's is 0 on a CPU.
        examples: test and validation examples, for the size of outcomes.
    """

    tasks: int
    steps: tuple[int, ...]
    build_seconds: float
    step_seconds: float
    begin_seconds: float
    evaluate_seconds: float
    host_bytes: int
    device_bytes: int
    trainable_parameters: int
    examples: int

    @property
    def run_seconds(self) -> float:
        """Of a whole stream; the shared zero-shot row is not part of it."""
        learning = sum(self.steps) * self.step_seconds + sum(1 for steps in self.steps if steps) * self.begin_seconds
        return self.build_seconds + learning + self.evaluate_seconds


def probe(config: RunConfig, data_root: Path, device: str, threads: int) -> Probe:
    """Measure ``config`` in a process of its own, so that peaks are the run's.

    Raises:
        SuiteError: a mistake in config or data, or its process died, as for want of memory.
    """
    fields = config.resolved()
    about = f"the probe of {config.benchmark.name} {method_title(fields['method'])}"
    return in_own_process(_measure, (fields, data_root, device, threads), about)


def _measure(fields: dict[str, Any], data_root: Path, device_name: str, threads: int) -> Probe:
    config = validate(RunConfig, fields, where="probe")
    torch.set_num_threads(threads)
    device = choose_device(device_name)
    start = time.perf_counter()
    stream = config.benchmark.open(data_root)
    trainer = assemble(config, stream, device)
    built = time.perf_counter() - start
    reset_peak(device)
    seconds, begins, trainable = [], [], 0
    for index in sorted({0, len(stream) // 2, len(stream) - 1}):
        steps = trainer.step_count(index)
        taken = trainer.sample_steps(index, min(steps, WARM_UP + SAMPLED)).seconds
        seconds.append(statistics.median(taken[WARM_UP:] or taken))
        begins.append(max(0.0, sum(taken[:WARM_UP]) - len(taken[:WARM_UP]) * seconds[-1]))
        trainable = max(trainable, trainer.method.facts().trainable_parameters)
    evaluate = _evaluation_seconds(trainer)
    return Probe(
        tasks=len(stream),
        steps=tuple(trainer.method.steps(trainer.context(index)) or 0 for index in range(len(stream))),
        build_seconds=built,
        step_seconds=statistics.mean(seconds),
        begin_seconds=statistics.mean(begins),
        evaluate_seconds=evaluate,
        host_bytes=peak_bytes(),
        device_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
        trainable_parameters=trainable,
        examples=sum(len(task.test) + len(task.validation) for task in stream.tasks),
    )


def _evaluation_seconds(trainer: StreamTrainer) -> float:
    """Of the evaluations after every task together: some sets of tasks are measured, the others follow from their examples."""
    stream = trainer.stream
    sizes = [len(task.test) + len(task.validation) for task in stream.tasks]
    judged = [stream.judged_after(done) for done in range(1, len(stream) + 1)]
    smallest = min(range(len(sizes)), key=sizes.__getitem__)
    wanted = [[smallest], *(list(judged[place]) for place in (0, len(judged) // 2, -1))]
    measured: dict[int, float] = {}
    for tasks in sorted(wanted, key=lambda some: sum(sizes[task] for task in some)):
        examples = sum(sizes[task] for task in tasks)
        if examples in measured:
            continue
        if measured and max(seconds / count for count, seconds in measured.items()) * examples > EVALUATION_SECONDS:
            break
        measured[examples] = trainer.sample_evaluation(tasks)
    return sum(seconds_of(sum(sizes[task] for task in tasks), measured) for tasks in judged)


def seconds_of(examples: int, measured: Mapping[int, float]) -> float:
    """Seconds of an evaluation of ``examples`` between the measured ones; beyond the largest, in proportion to it."""
    largest = max(measured)
    if examples > largest:
        return measured[largest] * examples / largest
    known = sorted(measured)
    return float(np.interp(examples, known, [measured[count] for count in known]))
