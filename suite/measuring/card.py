"""Everything that is measured on a GPU, part by part: each in a process of its own with a limit of time, so that one that hangs or
fills the card costs itself alone. What is measured is kept; the same call goes on with what is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from suite.backbones.causal_lm import MiniLMConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.errors import ConfigError, SuiteError
from suite.files import atomic_write
from suite.hardware import hardware
from suite.measuring.method_costs import measure_methods
from suite.measuring.packing import measure_packing
from suite.measuring.ratios import PerfRow
from suite.measuring.step import TIMED, WARM_UP, measure_evaluation, measure_step, measure_stream
from suite.measuring.step_profile import profile_steps
from suite.measuring.text import measure_text
from suite.measuring.workload import Workload
from suite.runs.provenance import ROOT, versions
from suite.workflows.own_process import in_own_process
from trainables.cards import has_bf16
from trainables.stream_trainer import StreamTrainer

TOTAL = 480.0  # seconds of one call, after which no further part begins
LEAST = 10.0  # seconds in which a part can come to a result
RESULTS, TABLE = "card.json", "card.md"
GPU_TESTS = ROOT / "tests" / "gpu"


@dataclass(frozen=True)
class Card:
    """What is measured, and on what; ``backbone`` and ``batch_size`` of the image steps."""

    device: str
    backbone: str
    batch_size: int

    def work(self, **changes: Any) -> Workload:
        return replace(Workload(torch.device(self.device), self.backbone, batch_size=self.batch_size), **changes)


@dataclass(frozen=True)
class Found:
    """Result of a part: comparisons with the plain twin, and what is no comparison."""

    rows: list[PerfRow] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Part(NamedTuple):
    """One part: at most so many seconds, and what it does."""

    limit: float
    measure: Callable[[Card], Found]


def _environment(card: Card) -> Found:
    facts = {**versions(), **hardware(torch.device(card.device))}
    if torch.device(card.device).type == "cuda":
        free, whole = torch.cuda.mem_get_info()
        properties = torch.cuda.get_device_properties(card.device)
        facts |= {"free_bytes": free, "whole_bytes": whole, "capability": f"{properties.major}.{properties.minor}"}
        facts |= {"cuda": torch.version.cuda, "bf16": has_bf16(torch.device("cuda"))}
    return Found(facts=facts)


def _tests(card: Card) -> Found:
    """Those of ``tests/gpu``, where this is a checkout."""
    if not GPU_TESTS.is_dir():
        return Found(facts={"tests": "none beside an installed copy"})
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(GPU_TESTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 5):
        raise SuiteError(f"tests/gpu: {_last_line(done.stdout) or _last_line(done.stderr)}; see '{' '.join(command)}'.")
    return Found(facts={"tests": _last_line(done.stdout)})


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _fp32(card: Card) -> Found:
    return Found(measure_step(card.work(precision="fp32"), 3))


def _bf16(card: Card) -> Found:
    return Found(measure_step(card.work(precision="bf16"), 3))


def _lora(card: Card) -> Found:
    return Found(measure_step(card.work(precision="bf16", method="lora"), 2))


def _recording(card: Card) -> Found:
    """One kernel after the other against the recorded step, both in bf16."""
    work = card.work(precision="bf16")
    stream = work.stream()
    eager, recorded = (work.trainer(stream, plain=False) for _ in range(2))
    eager.method.capturable = False
    return Found([_side_by_side("recorded step", work, eager, recorded, "against the same step kernel by kernel")])


def _triton(card: Card) -> Found:
    """The step with torch's kernels alone against that with Triton's, both in bf16."""
    work = card.work(precision="bf16")
    stream = work.stream()
    usual, own = (replace(work, kernels=kernels).trainer(stream, plain=False) for kernels in ("torch", "triton"))
    return Found([_side_by_side("step with kernels of Triton", work, usual, own, "against torch's alone (training.kernels)")])


def _at_once(card: Card) -> Found:
    """The step with the two encoders in turn against that with both at once, in bf16."""
    work = card.work(precision="bf16")
    stream = work.stream()
    usual, both = (replace(work, encoders=encoders).trainer(stream, plain=False) for encoders in ("in_turn", "at_once"))
    return Found([_side_by_side("step with both encoders at once", work, usual, both, "against in turn (training.encoders)")])


def _side_by_side(name: str, work: Workload, slow: StreamTrainer, quick: StreamTrainer, note: str) -> PerfRow:
    """Steps of two trainers in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for trainer, taken in zip((slow, quick), times, strict=True):
            taken += trainer.sample_steps(0, WARM_UP + TIMED).measured_on(work.device)[WARM_UP:]
    first, second = (1000 * median(taken) for taken in times)
    return PerfRow(name, first, second, "ms", first / second, note)


def _evaluation(card: Card) -> Found:
    return Found(measure_evaluation(card.work(precision="bf16", tasks=10, test_share=0.02), 3))


def _stream(card: Card) -> Found:
    return Found(measure_stream(card.work(precision="bf16", tasks=2, steps=60)))


def _profile(card: Card) -> Found:
    return Found(facts=asdict(profile_steps(card.work(precision="bf16"), 20)))


def _packing(card: Card) -> Found:
    found = measure_packing(card.work(precision="bf16"), 4)
    alone = found[0].steps_per_second
    return Found(
        [
            PerfRow(f"{row.count} trials at once", alone, row.steps_per_second, "steps/s", row.steps_per_second / alone)
            for row in found[1:]
        ]
    )


def _methods(card: Card) -> Found:
    """On the mini CLIP, whose step is all launches: what a method adds to LoRA's shows most there."""
    work = card.work(backbone="mini-clip", method="lora", precision="fp32", tasks=2, steps=20, batch_size=32)
    found = measure_methods(work, 1)
    rows = [
        PerfRow(f"{cost.method}: step", 1.0, cost.step_ratio, "times LoRA's", 1 / cost.step_ratio)
        for cost in found
        if cost.step_ratio
    ]
    return Found(rows, {cost.method: cost.refused for cost in found if cost.refused})


def _text_step(card: Card) -> Found:
    return Found(measure_step(card.work(backbone="mini-lm", batch_size=8), 2))


def _generation(card: Card) -> Found:
    stream = MiniTraceConfig(tasks=("Py150",)).build(Path())
    return Found(measure_text(stream, MiniLMConfig(), torch.device(card.device)))


PARTS: Mapping[str, Part] = {
    "environment": Part(40, _environment),
    "tests": Part(130, _tests),
    "step bf16": Part(70, _bf16),
    "recorded and eager step": Part(50, _recording),
    "kernels of Triton": Part(50, _triton),
    "encoders at once": Part(50, _at_once),
    "step fp32": Part(70, _fp32),
    "step of LoRA": Part(50, _lora),
    "evaluation": Part(60, _evaluation),
    "profile": Part(50, _profile),
    "stream": Part(90, _stream),
    "language model's step": Part(40, _text_step),
    "generation": Part(60, _generation),
    "packing": Part(60, _packing),
    "methods": Part(120, _methods),
}


def check_card(
    card: Card, out: Path, only: Sequence[str] = (), on_part: Callable[[str, str], None] = lambda name, told: None
) -> dict[str, Any]:
    """Measure what ``out`` does not hold yet; returns what it holds then. Both files there are written after every part.

    Args:
        only: these parts alone, measured or not.
        on_part: is told a part's name and how it ended.

    Raises:
        ConfigError: an unknown part, or results of another backbone or machine in ``out``.
    """
    if unknown := [name for name in only if name not in PARTS]:
        raise ConfigError(f"--only: '{unknown[0]}' is not a part; use one of {', '.join(PARTS)}.")
    found = _stored(card, out)
    begun = time.monotonic()
    for name in only or [name for name in PARTS if "error" in found["parts"].get(name, {"error": "not begun"})]:
        left = TOTAL - (time.monotonic() - begun)
        if left < LEAST:
            on_part(name, "not begun for want of time; the same command goes on with it")
            continue
        found["parts"][name] = entry = _measured(card, name, min(PARTS[name].limit, left))
        atomic_write(out / RESULTS, (json.dumps(found, indent=1) + "\n").encode())
        atomic_write(out / TABLE, as_table(found).encode())
        on_part(name, entry.get("error") or f"{entry['seconds']:.0f} s")
    return found


def _stored(card: Card, out: Path) -> dict[str, Any]:
    about = {**asdict(card), "versions": versions(), "hardware": hardware(torch.device(card.device))}
    try:
        found: dict[str, Any] = json.loads((out / RESULTS).read_bytes())
    except FileNotFoundError:
        return {**about, "parts": {}}
    except ValueError:
        found = {}
    if {key: found.get(key) for key in about} != about:
        raise ConfigError(
            f"--out: {out / RESULTS} is of another machine, software or backbone, or damaged; name another folder."
        )
    return found


def _measured(card: Card, name: str, limit: float) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        result = asdict(in_own_process(_measure, (card, name), name, limit=limit))
    except SuiteError as error:
        result = {"error": str(error)}
    return {**result, "seconds": round(time.monotonic() - begun, 1)}


def _measure(card: Card, name: str) -> Found:
    torch.set_num_threads(1)
    return PARTS[name].measure(card)


def as_table(found: Mapping[str, Any]) -> str:
    """Markdown: a row per comparison; facts and failures below it."""
    lines = [f"{found['backbone']}, batch {found['batch_size']}, {found['hardware'].get('gpu', found['device'])}", ""]
    lines += ["| part | measured | plain | fast | unit | ratio | note |", "|---|---|---:|---:|---|---:|---|"]
    lines += [line for name, part in found["parts"].items() for line in _table_rows(name, part)]
    lines += [line for name, part in found["parts"].items() for line in _told(name, part)]
    return "\n".join(lines) + "\n"


def _table_rows(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    for row in part.get("rows", ()):
        numbers = f"{row['plain']:.2f} | {row['fast']:.2f} | {row['unit']} | {row['ratio']:.2f}"
        yield f"| {name} | {row['name']} | {numbers} | {row['note']} |"


def _told(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    if "error" in part:
        yield f"\n{name}: not measured, {part['error']}"
    elif part["facts"]:
        yield f"\n{name}: " + "; ".join(f"{key} {value}" for key, value in part["facts"].items())
