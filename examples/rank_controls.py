"""Does CoDyRA's learned rank choose anything? CoDyRA beside three controls that merge the same number of parts, all tuned alike.

    codyra         gates that a soft threshold shrinks; what survives is merged; the demo's threshold levels, fitted to its 60 steps
    squeeze        LoRA of the same offered rank; its largest singular directions are merged
    random-parts   CoDyRA's gated LoRA; which parts survive is drawn before the task begins
    lora           LoRA whose rank is the merged one, rounded

On every stream each method learns once per learning rate with a seed of its own, and the rate with the best validation accuracy after
the last task is taken. CoDyRA's merged rank there is the controls'. Judged are fresh seeds on test data; differences are paired by seed.
Prints a Markdown table, and CoDyRA's merged rank by stream and seed.

    python examples/rank_controls.py --out controls
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t, ttest_rel

from suite.config import RunConfig
from suite.runs.costs import run_costs
from suite.runs.record import Record
from suite.tuning.run_settings import RunSettings
from suite.workflows.comparing import carry_runs
from suite.workflows.configs import run_config
from suite.workflows.demonstration import FITTED
from suite.workflows.progress import QUIET

STREAMS = ("mini-mtil", "mini-xtail", "mini-trace")
CONTROLS = ("squeeze", "random-parts", "lora")
TUNING_SEED = 100
LEVEL = 0.95
Setting = tuple[str, str]  # stream, method


def main() -> None:
    options = _options()
    tuned = _tuned([(stream, "codyra") for stream in options.streams], {}, options)
    ranks = {stream: merged_rank(tuned[stream, "codyra"]) for stream in options.streams}
    tuned |= _tuned([(stream, method) for stream in options.streams for method in CONTROLS], ranks, options)
    fresh = {
        setting: [RunConfig.model_validate({**record.config, "seed": seed}) for seed in options.seeds]
        for setting, record in tuned.items()
    }
    runs = _learned(fresh, options.out)
    sys.stdout.write(table(tuned, runs) + "\n" + rank_table(runs))


def _tuned(settings: Sequence[Setting], ranks: dict[str, float], options: argparse.Namespace) -> dict[Setting, Record]:
    """Per setting the run of the learning rate with the best validation accuracy after the last task."""
    configs = {
        (stream, method): [
            run_config(
                stream,
                method=method,
                seed=TUNING_SEED,
                settings=[
                    *FITTED.get(method, []),
                    *merging(method, ranks.get(stream)),
                    f"training.steps={options.steps}",
                    f"training.lr={lr!r}",
                ],
            )
            for lr in options.rates
        ]
        for stream, method in settings
    }
    runs = _learned(configs, options.out)
    return {setting: max(tried, key=lambda record: last(record, "validation")) for setting, tried in runs.items()}


def merging(method: str, rank: float | None) -> list[str]:
    """Settings by which a control merges ``rank`` parts per slot on average."""
    if rank is None:
        return []
    return [f"method.rank={round(rank)}"] if method == "lora" else [f"method.merged_rank={rank!r}"]


def _learned(configs: dict[Setting, list[RunConfig]], out: str) -> dict[Setting, list[Record]]:
    """All runs at once on a local Ray; those that are finished in ``out`` are not trained again."""
    wanted = [config for each in configs.values() for config in each]
    done = carry_runs(wanted, RunSettings(Path(out), Path("data"), "auto"), "none", title="runs", watcher=QUIET)
    if done.failures:
        raise SystemExit("\n".join(done.failures))
    found = {run.record.config_hash: run.record for run in done.runs}
    return {setting: [found[config.config_hash()] for config in each] for setting, each in configs.items()}


def last(record: Record, split: Any = "test") -> float:
    """Mean accuracy over all tasks after the last one, in %."""
    return float(record.matrix(split).iloc[-1].mean())


def merged_rank(record: Record) -> float:
    """Mean over tasks and slots."""
    return float(np.mean([rank for row in record.results[1:] for rank in row.effective_rank.values()]))


def table(tuned: dict[Setting, Record], runs: dict[Setting, list[Record]]) -> str:
    """A row per stream and method; "without signal" is the rank that CoDyRA's schedule and initialisation alone would leave, p of a
    paired t-test, not corrected."""
    head = ("stream", "method", "lr", "merged rank", "without signal", "last, %", "minus CoDyRA", "p")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for stream, method in sorted(tuned, key=lambda setting: STREAMS.index(setting[0]) if setting[0] in STREAMS else 9):
        own, codyra = ([last(record) for record in runs[stream, name]] for name in (method, "codyra"))
        apart = " | " if method == "codyra" else f"{interval(np.subtract(own, codyra))} | {ttest_rel(own, codyra).pvalue:.3f}"
        rank = np.mean([merged_rank(record) for record in runs[stream, method]])
        silent = [run_costs(record.results).no_signal_rank for record in runs[stream, method]]
        without = "" if None in silent else f"{np.mean(np.array(silent, float)):.2f}"
        lr = tuned[stream, method].config["training"]["lr"]
        lines.append(f"| {stream} | {method} | {lr:g} | {rank:.2f} | {without} | {interval(np.array(own))} | {apart} |")
    return "\n".join(lines) + "\n"


def rank_table(runs: dict[Setting, list[Record]]) -> str:
    """CoDyRA's merged rank, a row per stream and a column per seed."""
    own = {stream: records for (stream, method), records in runs.items() if method == "codyra"}
    seeds = [str(record.config["seed"]) for record in next(iter(own.values()))]
    lines = ["| CoDyRA's merged rank | " + " | ".join(f"seed {seed}" for seed in seeds) + " |", "|---" * (len(seeds) + 1) + "|"]
    lines += [f"| {stream} | " + " | ".join(f"{merged_rank(record):.2f}" for record in own[stream]) + " |" for stream in own]
    return "\n".join(lines) + "\n"


def interval(values: np.ndarray) -> str:
    """Mean ± half the width of its 95 % interval by Student's t; the mean alone for one value."""
    if len(values) < 2:
        return f"{np.mean(values):.1f}"
    half = t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.1f} ± {half:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="controls", help="folder of the runs; what is finished there is not trained again")
    parser.add_argument("--streams", nargs="+", default=STREAMS)
    parser.add_argument("--steps", type=int, default=60, help="per task")
    parser.add_argument(
        "--rates", nargs="+", type=float, default=(2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3), help="learning rates to choose from"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5), help="fresh seeds that judge")
    return parser.parse_args()


if __name__ == "__main__":
    main()
