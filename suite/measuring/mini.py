"""The embedded image domains measured: zero-shot, fine-tuned alone, learned in the stream, left at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from suite.config import RunConfig
from suite.data.drawn_images import DOMAINS, class_names_of
from suite.measuring.mini_rates import mean_text
from suite.runs.record import Record
from suite.workflows.configs import run_config
from suite.workflows.demonstration import fitted
from trainables.run import RunContext, execute

SPACES = {"mini-mtil": "own classes", "mini-xtail": "all classes"}
METHODS = ("lora", "codyra")


def mini_table(seeds: Sequence[int]) -> str:
    """Markdown table over the domains with the demo's settings; means over ``seeds``, test accuracy in %.

    Zero-shot and fine-tuned alone (LoRA after one task, in a stream that begins with the domain) among the domain's own classes and
    among those of all domains; the rest is ``mini-mtil``.
    """
    with tempfile.TemporaryDirectory(prefix="codyra-mini-") as folder:
        run_context = RunContext(Path(folder), Path(folder), "cpu")
        alone = {
            space: {name: [_alone(space, name, seed, run_context) for seed in seeds] for name in DOMAINS} for space in SPACES
        }
        streams = {method: [execute(_config("mini-mtil", method, seed), run_context) for seed in seeds] for method in METHODS}
    head = ["domain", "classes"]
    head += [f"{column}, {words}" for words in SPACES.values() for column in ("zero-shot", "fine-tuned alone")]
    head += [f"{method}: {column}" for method in METHODS for column in ("learned", "at the end", "forgotten")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task, name in enumerate(DOMAINS):
        cells = [name, str(len(class_names_of(name)))]
        for space in SPACES:
            cells += [mean_text(_cells(alone[space][name], row, 0)) for row in (0, 1)]
        for method in METHODS:
            learned, last = _cells(streams[method], task + 1, task), _cells(streams[method], len(DOMAINS), task)
            lost = [before - after for before, after in zip(learned, last, strict=True)]
            cells += [mean_text(learned), mean_text(last), mean_text(lost)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _alone(space: str, name: str, seed: int, run_context: RunContext) -> Record:
    """A stream that begins with the domain, stopped after it."""
    order = [name, *(other for other in DOMAINS if other != name)]
    config = _config(space, "lora", seed, f"benchmark.domains=[{', '.join(order if space == 'mini-xtail' else order[:1])}]")
    return execute(config, run_context, lambda report: report.row < 1)


def _config(benchmark: str, method: str, seed: int, *settings: str) -> RunConfig:
    return run_config(benchmark, method=method, seed=seed, settings=[*fitted(benchmark, method), *settings])


def _cells(records: Sequence[Record], row: int, task: int) -> list[float]:
    return [float(record.test[row][task] or 0.0) for record in records]
