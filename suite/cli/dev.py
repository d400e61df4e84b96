"""Command group ``dev``: what people need who change this program, kept apart from what users of it need."""

from __future__ import annotations

from suite.cli import perf, perf_mini, perf_search, perf_speed
from suite.cli.app import App

dev_app = App(help="For people who change this program: measure its speed and memory.")
perf_app = App(help="Measure speed and memory as ratios, side by side on this machine.")
dev_app.add_typer(perf_app, name="perf")

for command in (
    perf_speed.step,
    perf_speed.stream,
    perf_speed.profile,
    perf_speed.kernels,
    perf_speed.packing,
    perf_speed.methods,
    perf_speed.card,
    perf.data,
    perf_search.sweep,
    perf_search.driver,
    perf_search.history,
    perf_search.stopping,
    perf_search.sharing,
    perf_search.null,
    perf.leaderboard,
    perf.significance,
    perf.forecast,
    perf.faults,
    perf_mini.mini,
    perf.text,
    perf.startup,
    perf.demo,
):
    perf_app.command()(command)
perf_app.command(name="eval")(perf_speed.evaluation)
