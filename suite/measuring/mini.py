"""The embedded image domains measured: zero-shot, fine-tuned alone, learned in the stream, left at its end."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suite.config import RunConfig, validate
from suite.data.drawn_images import DOMAINS, class_names_of
from suite.runs.record import Record
from trainables.run import RunContext, execute

# CoDyRA's threshold leaves the share of gates without signal that the release does.
STEPS = 80
METHODS: dict[str, dict[str, Any]] = {"lora": {}, "codyra": {"kappa_levels": 20, "kappa_max": 0.024}}


def mini_table(seeds: Sequence[int]) -> str:
    """Markdown table over the domains of ``mini-mtil``, 80 steps of 32 images per task; means over ``seeds``, test accuracy in %."""
    with tempfile.TemporaryDirectory(prefix="codyra-mini-") as folder:
        run_context = RunContext(Path(folder), Path(folder), "cpu")
        alone = {name: [_run("lora", seed, [name], run_context) for seed in seeds] for name in DOMAINS}
        streams = {method: [_run(method, seed, list(DOMAINS), run_context) for seed in seeds] for method in METHODS}
    head = ["domain", "chance", "zero-shot", "fine-tuned alone"]
    head += [f"{method}: {column}" for method in METHODS for column in ("learned", "at the end", "forgotten")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task, name in enumerate(DOMAINS):
        cells = [name, f"{100 / len(class_names_of(name)):.0f}", _cell(streams["lora"], 0, task), _cell(alone[name], 1, 0)]
        for method in METHODS:
            learned, last = _cells(streams[method], task + 1, task), _cells(streams[method], len(DOMAINS), task)
            lost = [before - after for before, after in zip(learned, last, strict=True)]
            cells += [_mean(learned), _mean(last), _mean(lost)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _run(method: str, seed: int, domains: list[str], run_context: RunContext) -> Record:
    fields = {
        "benchmark": {"name": "mini-mtil", "domains": domains},
        "method": {"name": method, **METHODS[method]},
        "training": {"steps": STEPS},
        "seed": seed,
    }
    return execute(validate(RunConfig, fields, where="perf mini"), run_context)


def _cells(records: Sequence[Record], row: int, task: int) -> list[float]:
    return [float(record.test[row][task] or 0.0) for record in records]


def _cell(records: Sequence[Record], row: int, task: int) -> str:
    return _mean(_cells(records, row, task))


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"
