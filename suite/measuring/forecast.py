"""Forecast a few runs from their probes, then really run them: how far off is the bill?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.config import RunConfig, validate
from suite.runs.costs import run_costs
from suite.runs.store import RunStore
from suite.workflows.probe import probe

RUNS: tuple[dict[str, Any], ...] = (
    {"benchmark": "mini-mtil", "method": {"name": "codyra", "kappa_levels": 20}, "training": {"steps": 60}},
    {"benchmark": "mini-mtil", "method": {"name": "replay"}, "training": {"steps": 60}},
    {"benchmark": "mini-xtail", "method": {"name": "lora"}, "training": {"steps": 60}},
    {"benchmark": "mini-xtail", "method": {"name": "olora", "placement": "vision:qkvo"}, "training": {"steps": 100}},
    {"benchmark": "mini-trace", "method": {"name": "lora"}, "training": {"steps": 60}},
)
RUN = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from suite.config import RunConfig, validate
from trainables.run import RunContext, execute
execute(validate(RunConfig, json.loads(sys.argv[1]), where="perf"), RunContext(Path(sys.argv[2]), Path("data"), sys.argv[3]))
"""


@dataclass(frozen=True)
class Checked:
    """Forecast over actual of one run: seconds after the zero-shot row, and peak bytes."""

    name: str
    seconds: float
    seconds_ratio: float
    bytes_ratio: float


def measure_forecasts(device: str, say: Callable[[str], None]) -> list[Checked]:
    """One row per run; the real run is a process of its own, as a trial's is."""
    rows = []
    for fields in RUNS:
        config = validate(RunConfig, fields, where="perf forecast")
        say(f"{config.benchmark.name} {fields['method']['name']}")
        found = probe(config, Path("data"), device, 1)
        with tempfile.TemporaryDirectory(prefix="codyra-forecast-") as out:
            subprocess.run([sys.executable, "-c", RUN, json.dumps(fields), out, device], check=True)
            (run,) = RunStore(Path(out)).all().runs
        record = run.record
        learned = record.results[1:]
        costs = run_costs(learned)
        on_device = any(result.costs.device_peak_bytes is not None for result in learned)
        forecast_bytes = found.device_bytes if on_device else found.host_bytes
        name = f"{record.benchmark} {record.config['method']['name']}"
        rows.append(
            Checked(
                name,
                costs.wall_seconds,
                (found.run_seconds - found.build_seconds) / costs.wall_seconds,
                forecast_bytes / costs.peak_bytes,
            )
        )
    return rows
