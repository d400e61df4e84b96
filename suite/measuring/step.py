"""Training step and evaluation: the fast path against the plain reference on the same data and weights, the arithmetic floor beside.

On a CPU a time is what all threads of this process have computed, so that it holds on a machine that others use too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from suite.benchmarks.stream import Stream
from suite.measuring.ratios import PerfRow, clock_of, compare_times
from suite.measuring.workload import Workload, clip_of
from trainables.precision import autocast
from trainables.stream_trainer import StreamTrainer

WARM_UP = 6  # steps on a GPU before one is timed: the third of a task is the last that is not recorded
TIMED = 8
MIB = 2**20


def measure_step(work: Workload, rounds: int) -> list[PerfRow]:
    """Rows for one optimizer step: time, its floor, peak memory (GPU) or activations kept for the backward pass (CPU)."""
    stream = work.stream()
    memory = [_step_memory(work, stream, plain=plain) for plain in (True, False)]
    plain, fast = (work.stepping_trainer(stream, plain=plain) for plain in (True, False))
    times: tuple[list[float], list[float]] = ([], [])
    before = WARM_UP if work.device.type == "cuda" else 1
    for _ in range(rounds):
        for trainer, taken in zip((plain, fast), times, strict=True):
            taken += trainer.sample_steps(0, before + TIMED).measured_on(work.device)[before:]
    slow, quick = (1000 * statistics.median(taken) for taken in times)
    floor, note = _floor(work, stream)
    what = "peak memory" if work.device.type == "cuda" else "activations kept"
    how = f"{work.fast_precision()} against fp32"
    return [
        PerfRow("training step", slow, quick, "ms", slow / quick, how),
        PerfRow("fast step against its floor", quick, floor, "ms", quick / floor, note),
        PerfRow(what, memory[0] / MIB, memory[1] / MIB, "MiB", memory[0] / memory[1], how),
    ]


def measure_evaluation(work: Workload, rounds: int) -> list[PerfRow]:
    """Rows for evaluating all tasks' test images: against the plain reference, and against the bare forward pass of the images."""
    stream = work.stream()
    plain, fast = (work.trainer(stream, plain=plain) for plain in (True, False))
    learner = clip_of(fast)
    for trainer in (plain, fast):
        trainer.sample_steps(0, 1)  # an evaluation as after a task: encoders that learn have changed
    batches = list(learner.pixels.eval_batches(range(len(stream)), "test", learner.eval_batch_size))

    @torch.no_grad()
    def bare() -> None:
        with autocast(work.device, work.fast_precision()):
            for batch in batches:
                learner.encode_images(batch)

    def evaluate(trainer: StreamTrainer) -> Callable[[], None]:
        def once() -> None:
            trainer.learner.begin_task(0)  # forget what the last call embedded
            with autocast(work.device, trainer.training.precision):
                trainer.learner.evaluate("test", range(len(stream)))

        return once

    images = sum(len(task.test) for task in stream.tasks)
    against = compare_times("evaluation", evaluate(plain), evaluate(fast), repeats=rounds, device=work.device)
    share = compare_times("evaluation against the bare forward pass", evaluate(fast), bare, repeats=rounds, device=work.device)
    rate = 1000 * images / against.fast
    return [
        PerfRow(against.name, against.plain, against.fast, "ms", against.ratio, f"{images} images, {rate:,.0f} per second"),
        PerfRow(
            share.name,
            share.plain,
            share.fast,
            "ms",
            share.ratio,
            f"{100 / share.ratio:.0f} % of the time is the images' forward pass",
        ),
    ]


def measure_stream(work: Workload) -> list[PerfRow]:
    """A whole stream, all tasks of both splits evaluated after every task, once on either side."""
    stream = work.stream()
    seconds = []
    for plain in (True, False):
        trainer = work.trainer(stream, plain=plain)
        _wait(work.device)
        start = time.perf_counter()
        waited = sum(report.result.costs.wait_seconds or 0.0 for report in trainer.rows(0))
        _wait(work.device)
        seconds.append(time.perf_counter() - start)
    note = f"{len(stream)} tasks x {work.steps} steps; {100 * waited / seconds[1]:.1f} % of the fast side's time waited for batches"
    return [PerfRow("stream", seconds[0], seconds[1], "s", seconds[0] / seconds[1], note)]


def _floor(work: Workload, stream: Stream) -> tuple[float, str]:
    """Milliseconds that the forward pass and as many operations again for the inputs' gradients take at the speed of a large product."""
    trainer = work.trainer(stream, plain=False)
    learner = trainer.learner
    learner.begin_task(0)
    rows = torch.arange(work.batch_size) % len(stream.tasks[0].train)
    batch = learner.batch(torch.zeros_like(rows), rows, trainer.random["augment"])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        learner.forward(batch)
    operations = 2 * counter.get_total_flops()
    rate = matmul_rate(work.device, torch.bfloat16 if work.fast_precision() == "bf16" else torch.float32)
    note = f"{operations / 1e9:,.1f} GFLOP at {rate / 1e12:,.2f} TFLOP/s"
    return 1000 * operations / rate, note


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations per second of a large matrix product, median of seven."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    taken, clock = [], clock_of(device)
    for _ in range(8):
        _wait(device)
        start = clock()
        left @ right
        _wait(device)
        taken.append(clock() - start)
    return 2 * size**3 / statistics.median(taken[1:])


def _step_memory(work: Workload, stream: Stream, *, plain: bool) -> float:
    """Bytes: the allocator's peak over some steps on a GPU, weights and images included; else what autograd keeps of one step."""
    trainer = work.stepping_trainer(stream, plain=plain)
    if work.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(work.device)
        trainer.sample_steps(0, WARM_UP)
        peak = torch.cuda.max_memory_allocated(work.device)
        del trainer
        gc.collect()
        torch.cuda.empty_cache()
        return float(peak)
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.learner.network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trainer.sample_steps(0, 1)
    return float(sum(kept.values()))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
