"""Commands ``dev perf step``, ``eval``, ``stream``, ``profile`` and ``packing``: the fast path against the plain reference; ``dev perf
methods``: all methods beside LoRA; ``dev perf card``: all of it on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from suite.cli.json_output import print_json
from suite.cli.options import DeviceOption, JsonOption
from suite.cli.perf import print_rows
from suite.workflows.places import folder_named

if TYPE_CHECKING:
    from suite.measuring.method_costs import MethodCost
    from suite.measuring.workload import Workload

BackboneOption = Annotated[
    str,
    typer.Option(
        "--backbone",
        help="mini-clip, mini-lm, an open_clip architecture (noise images), or a language model's folder or hub id.",
    ),
]
MethodOption = Annotated[str, typer.Option("--method", help="Method whose step is taken.")]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1)]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        "--precision",
        help="Of the fast side; auto = bf16 on a GPU. The plain side is always fp32. No tf32: torch has one switch of it for both sides.",
    ),
]
KernelsOption = Annotated[Literal["torch", "triton"], typer.Option("--kernels", help="Of the fast side, under bf16 alone.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]
RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Both sides in turn, so many times.")]
ShareOption = Annotated[float, typer.Option("--test-share", min=0.0001, max=1, help="Of X-TAIL's test images.")]


def step(
    backbone: BackboneOption = "mini-clip",
    method: MethodOption = "codyra",
    batch_size: BatchOption = 32,
    precision: PrecisionOption = "auto",
    kernels: KernelsOption = "torch",
    rounds: RoundsOption = 5,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="Of the backbone's stream: mini-xtail, mini-trace, or X-TAIL's classes. Default: its first."
        ),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Training step: time and memory of the fast path against the plain reference, and the arithmetic floor.

    Examples:

        codyra-suite dev perf step

        codyra-suite dev perf step --backbone ViT-B-16-quickgelu --batch-size 64

        codyra-suite dev perf step --backbone ViT-B-16-quickgelu --task eurosat --batch-size 8 --rounds 1

        codyra-suite dev perf step --backbone mini-lm --batch-size 8
    """
    from suite.measuring.step import measure_step

    work = _workload(backbone, method, device, precision, batch_size, threads, task=task, kernels=kernels)
    print_rows(measure_step(work, rounds), as_json=json)


def kernels(
    backbone: BackboneOption = "ViT-B-16-quickgelu",
    method: MethodOption = "codyra",
    batch_size: BatchOption = 64,
    precision: PrecisionOption = "bf16",
    kernels: KernelsOption = "torch",
    rows: Annotated[int, typer.Option("--rows", min=1, help="Operations to name.")] = 12,
    json: JsonOption = False,
) -> None:
    """Kernels, bytes and operations of a training step, counted on tensors that hold no numbers; needs no GPU.

    Examples:

        codyra-suite dev perf kernels

        codyra-suite dev perf kernels --kernels triton

        codyra-suite dev perf kernels --backbone mini-clip --batch-size 8
    """
    from suite.measuring.kernels import count_step

    found = count_step(_workload(backbone, method, "cpu", precision, batch_size, 1, kernels=kernels))
    if json:
        print_json(found)
        return
    for name, (count, size) in list(found.by_name.items())[:rows]:
        typer.echo(f"{count:6,d} kernels {size / 1e9:8.2f} GB  {name}")
    typer.echo(f"{found.kernels:6,d} kernels {found.bytes / 1e9:8.2f} GB  all; {found.operations / 1e12:.2f} TFLOP")


def evaluation(
    backbone: BackboneOption = "mini-clip",
    tasks: Annotated[int, typer.Option("--tasks", min=1, help="First tasks of the stream.")] = 8,
    test_share: ShareOption = 0.01,
    precision: PrecisionOption = "auto",
    rounds: RoundsOption = 5,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Evaluation of the tasks' test images: against the plain reference, and against the images' bare forward pass.

    Examples:

        codyra-suite dev perf eval

        codyra-suite dev perf eval --backbone ViT-B-16-quickgelu --tasks 10 --test-share 0.1
    """
    from suite.measuring.step import measure_evaluation

    work = _workload(backbone, "codyra", device, precision, 32, threads, tasks=tasks, test_share=test_share)
    print_rows(measure_evaluation(work, rounds), as_json=json)


def stream(
    backbone: BackboneOption = "mini-clip",
    method: MethodOption = "codyra",
    tasks: Annotated[int, typer.Option("--tasks", min=1, help="First tasks of the stream.")] = 4,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps per task.")] = 60,
    batch_size: BatchOption = 32,
    test_share: ShareOption = 0.01,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """A whole stream with its evaluations, once by the plain reference and once by the fast path.

    Examples:

        codyra-suite dev perf stream

        codyra-suite dev perf stream --backbone ViT-B-16-quickgelu --tasks 10 --steps 500 --test-share 1
    """
    from suite.measuring.step import measure_stream

    work = _workload(backbone, method, device, precision, batch_size, threads, steps=steps, tasks=tasks, test_share=test_share)
    print_rows(measure_stream(work), as_json=json)


def profile(
    backbone: BackboneOption = "mini-clip",
    method: MethodOption = "codyra",
    batch_size: BatchOption = 32,
    precision: PrecisionOption = "auto",
    rows: Annotated[int, typer.Option("--rows", min=1, help="Kernels or operations to name.")] = 12,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Where a training step's time goes: the most expensive kernels, the gaps between them, waiting for data.

    Examples:

        codyra-suite dev perf profile

        codyra-suite dev perf profile --backbone ViT-B-16-quickgelu --batch-size 64 --method replay
    """
    import os

    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's profiler tells its own news otherwise
    from suite.measuring.step_profile import profile_steps

    work = _workload(backbone, method, device, precision, batch_size, threads)
    found = profile_steps(work, rows)
    if json:
        print_json(found)
        return
    on_gpu = work.device.type == "cuda"
    for name, milliseconds, calls in found.top:
        typer.echo(f"{milliseconds:9.3f} ms {calls:7.1f} calls per step  {name[:90]}")
    typer.echo(f"a step takes {1000 * found.seconds:.2f} ms without the profiler; with it:")
    typer.echo(
        f"{100 * (1 - found.busy):5.1f} % of the time {'no kernel ran on the GPU' if on_gpu else 'was spent between operations'}"
    )
    typer.echo(f"{100 * found.waited:5.1f} % of the time without the profiler was spent waiting for batches")


def packing(
    backbone: BackboneOption = "mini-clip",
    method: MethodOption = "codyra",
    batch_size: BatchOption = 32,
    precision: PrecisionOption = "auto",
    most: Annotated[int, typer.Option("--most", min=1, help="Largest number of trials at once.")] = 4,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Steps per second of 1, 2, 4 ... trials side by side on one device.

    Examples:

        codyra-suite dev perf packing

        codyra-suite dev perf packing --backbone ViT-B-16-quickgelu --batch-size 64 --most 8
    """
    from suite.measuring.packing import best_count, measure_packing

    found = measure_packing(_workload(backbone, method, device, precision, batch_size, 1), most)
    if json:
        print_json(found)
        return
    for row in found:
        typer.echo(
            f"{row.count:3d} at once: {row.steps_per_second:9.1f} steps/s together, a trial's step takes {row.slowdown:.2f} times as long"
        )
    best = best_count(found)
    typer.echo(
        "a single trial fills the device; run one at a time" if best == 1 else f"{best} trials at once are worth it here"
    )


def methods(
    backbone: BackboneOption = "mini-clip",
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Measure this one only, beside LoRA; can be given several times.")
    ] = None,
    tasks: Annotated[int, typer.Option("--tasks", min=1, help="First tasks of the stream.")] = 3,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Optimizer steps per task.")] = 30,
    batch_size: BatchOption = 32,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="All methods in turn, so many times.")] = 3,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    json: JsonOption = False,
) -> None:
    """Every method beside LoRA on the same stream: its step, the whole stream, what it carries, how it answers.

    Examples:

        codyra-suite dev perf methods

        codyra-suite dev perf methods --backbone mini-lm --batch-size 8
    """
    from suite.cli.progress import TerminalWatcher
    from suite.measuring.method_costs import measure_methods
    from suite.registry import METHODS

    work = _workload(backbone, "lora", device, "fp32", batch_size, threads, steps=steps, tasks=tasks)
    with TerminalWatcher().begin("methods", rounds * len({"lora", *(method or METHODS)})) as bar:
        found = measure_methods(work, rounds, method or (), on_done=bar.done)
    if json:
        print_json(found)
        return
    _print_methods(found, f"{backbone}, {tasks} tasks x {steps} steps x {batch_size}")


def card(
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", parser=folder_named, help="Folder for card.json and card.md.")
    ] = Path("codyra-card"),
    backbone: BackboneOption = "ViT-B-16-quickgelu",
    batch_size: BatchOption = 64,
    only: Annotated[list[str] | None, typer.Option("--only", help="This part again; can be given several times.")] = None,
    device: DeviceOption = "cuda",
) -> None:
    """Everything that is measured on a GPU, in at most 8 minutes: the tests that need one, then speed beside the plain reference.

    Every part has a process and a limit of its own. The same command goes on with what is not measured yet.

    Examples:

        codyra-suite dev perf card

        codyra-suite dev perf card --only 'step bf16' --only profile
    """
    from suite.measuring.card import TABLE, Card, check_card
    from trainables.device import choose_device

    asked = Card(str(choose_device(device)), backbone, batch_size)
    found = check_card(asked, out, only or (), lambda name, told: typer.echo(f"{name}: {told}"))
    typer.echo(f"\n{(out / TABLE).read_text()}" if found["parts"] else "nothing was measured")


def _print_methods(found: Sequence[MethodCost], title: str) -> None:
    from suite.cli.tables import Column, Sheet, print_sheet

    heads = ("step\n/ LoRA", "stream\n/ LoRA", "carried\nMB", "decision", "task id\nat test", "extra data", "mergeable")
    rows = []
    for cost in found:
        if cost.traits is not None:
            said = ["-" if cost.step_ratio is None else f"{cost.step_ratio:.2f}", f"{cost.stream_ratio:.2f}"]
            told = [
                ("yes" if value else "no") if isinstance(value, bool) else value or "none" for value in cost.traits.values()
            ]
            rows.append([cost.method, *said, f"{cost.carried_bytes / 1e6:.2f}", *told])
    notes = [f"{cost.method}: not measured, {cost.refused}" for cost in found if cost.refused]
    columns = [Column("method"), *(Column(head, wraps=head == "extra data") for head in heads)]
    print_sheet(Sheet(title, columns, rows, notes))


def _workload(
    backbone: str,
    method: str,
    device: str,
    precision: str,
    batch_size: int,
    threads: int,
    *,
    steps: int = 100,
    tasks: int = 1,
    test_share: float = 0.01,
    task: str | None = None,
    kernels: str = "torch",
) -> Workload:
    import torch

    from suite.measuring.workload import Workload
    from trainables.device import choose_device

    torch.set_num_threads(threads)
    return Workload(choose_device(device), backbone, method, precision, batch_size, steps, tasks, test_share, task, kernels)
