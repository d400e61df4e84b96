"""Commands ``dev perf``: ratios of fast paths to their plain twins, measured side by side in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from suite.cli.options import DataOption, DeviceOption, OutOption, SetOption
from suite.workflows.places import DATA, OUT


def data(
    images: Annotated[int, typer.Option("--images", min=128, help="JPEG files to decode, cache and read.")] = 512,
    size: Annotated[int, typer.Option("--size", min=8, help="Pixels per side in the cache.")] = 224,
    build_images: Annotated[
        int, typer.Option("--build-images", min=1000, help="Images of the build whose memory is taken.")
    ] = 100_000,
) -> None:
    """Image cache: reading against decoding, resident memory, memory of a large build, what a kill costs.

    Examples:

        codyra-suite dev perf data

        codyra-suite dev perf data --images 2000 --build-images 10000
    """
    from suite.measuring.image_cache import measure_data

    print_rows(measure_data(images, size, build_images))


def sweep(
    trials: Annotated[int, typer.Option("--trials", min=3, help="Trials one at a time, then two at a time.")] = 6,
) -> None:
    """What a sweep costs beside its trials' own work, and what two trials at a time bring.

    Examples:

        codyra-suite dev perf sweep
    """
    from suite.measuring.sweep import measure_sweep

    cost = measure_sweep(trials)
    typer.echo(f"a trial's own work: {cost.own:.2f} s; beside it, warm workers: {cost.beside:.2f} s")
    typer.echo(f"of a sweep whose trials take a minute: {100 * cost.share_of_minute:.1f} % is not the trials'")
    typer.echo(
        f"{trials} trials one at a time {cost.alone:.1f} s, two at a time {cost.shared:.1f} s: {cost.throughput:.2f}x per hour"
    )


def driver(
    trials: Annotated[int, typer.Option("--trials", min=10, help="Trials that the study grows to.")] = 1000,
    stopping: Annotated[
        Literal["none", "median", "halving"], typer.Option("--stopping", help="Rule by which trials are stopped.")
    ] = "none",
) -> None:
    """What the driver spends on one trial of a study of 100, 1,000, 5,000 and so many trials, with random search and with TPE.

    Examples:

        codyra-suite dev perf driver

        codyra-suite dev perf driver --trials 5000 --stopping halving
    """
    from suite.measuring.driver import measure_driver

    for cost in measure_driver(trials, stopping):
        typer.echo(
            f"{cost.trials:6,d} trials, {cost.sampler:6} {cost.milliseconds:6.0f} ms per trial, {cost.cpu_milliseconds:6.0f} ms of it computing, "
            f"{cost.statements:.0f} SQL statements"
        )


def history(
    trials: Annotated[int, typer.Option("--trials", min=100, help="Of each search.")] = 1500,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Searches of each function and kind.")] = 3,
    most: Annotated[int, typer.Option("--most", min=20, help="Trials that TPE sees of more.")] = 300,
) -> None:
    """What TPE finds of two known functions when it sees all trials, and when it sees as many as in a long study.

    Examples:

        codyra-suite dev perf history

        codyra-suite dev perf history --trials 600 --most 120
    """
    from suite.measuring.sampler_history import measure_history

    for found in measure_history(trials, seeds, most):
        typer.echo(
            f"{found.function:10} seed {found.seed}, TPE sees {found.shown:>5}: {found.regret:.4f} from the optimum, "
            f"{found.milliseconds:4.0f} ms per trial at the end"
        )


def stopping(
    study: Annotated[str, typer.Argument(help="A study whose trials were all learned to the end.")],
    out: OutOption = OUT,
) -> None:
    """Replay stopping rules on recorded full trials: cost, what the best final value lost, share of the full front's hypervolume.

    Regret is the best value of the first objective that the study reached minus the best among the trials that the rule leaves, in
    the trials' own order and as a mean over ten drawn orders.

    Examples:

        codyra-suite sweep stopping_study.yaml && codyra-suite dev perf stopping stopping
    """
    from suite.cli.board import show_frame
    from suite.measuring.sweep import replay_rules

    show_frame(replay_rules(out, study), f"study {study}, trials in their order, one after the other")


def null(
    tunings: Annotated[int, typer.Option("--tunings", min=20, help="Whole tunings to make up.")] = 1000,
    methods: Annotated[int, typer.Option("--methods", min=2, max=20, help="Methods in each, all equal.")] = 6,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Seeds that settings are judged with.")] = 3,
    orders: Annotated[int, typer.Option("--orders", min=1, max=10, help="Orders of tasks that each seed is judged in.")] = 1,
) -> None:
    """Make up tunings of equal methods and count how often their table says that one is better; 1 as exit code above 6.5 %.

    Outcomes are drawn example by example, the best trial is chosen by validation, and the real table and sentences judge the rest.

    Examples:

        codyra-suite dev perf null

        codyra-suite dev perf null --tunings 200 --orders 2
    """
    from suite.measuring.null_tuning import ALLOWED, equal_methods, measure_null

    said = measure_null(equal_methods(methods, seeds, orders), tunings)
    for share, what in (
        (said.better, "a method is said to be better than another, with tuned settings"),
        (said.better_by_default, "the same of default settings"),
        (said.changed, "tuning is said to have raised or lowered a method"),
    ):
        typer.echo(f"{100 * share:5.1f} % of {said.tunings} tunings: {what}")
    typer.echo(f"{said.optimism:5.1f} points: mean optimism of selection")
    if said.better > ALLOWED:
        raise typer.Exit(1)


def sharing(
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps per task.")] = 20,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds; 16 runs each.")] = 4,
    pairs: Annotated[
        int, typer.Option("--pairs", min=1, help="Pairs of runs that share nothing, with and without sharing.")
    ] = 8,
) -> None:
    """What runs that begin alike save each other in a sweep, and what sharing costs where none do.

    Exit code 1 if a run differs from the same run without sharing.

    Examples:

        codyra-suite dev perf sharing

        codyra-suite dev perf sharing --steps 1 --pairs 4
    """
    from itertools import count

    from suite.cli.progress import TerminalWatcher
    from suite.measuring.sharing import measure_sharing, sharing_sweep

    configs = sharing_sweep(steps, seeds)
    with TerminalWatcher().begin("sharing", 2 * (len(configs) + pairs)) as work:
        done = count(1)
        found = measure_sharing(configs, pairs, lambda: work.done(next(done)))
    alone, shared = found.training
    typer.echo(
        f"{found.runs} runs: {alone:.1f} s of training without sharing, {shared:.1f} s with it: {found.share:.0%} saved; "
        f"{found.differing} of {found.runs} runs differ; spare states take {found.spare_bytes / 1e6:.1f} MB"
    )
    typer.echo(
        f"where nobody begins alike, sharing costs {found.slower:.1%} of a run's processor seconds (median of {len(found.overheads)} pairs, "
        f"{min(found.overheads):.1%} to {max(found.overheads):.1%})"
    )
    if found.differing:
        raise typer.Exit(1)


def leaderboard(
    runs: Annotated[int, typer.Option("--runs", min=100, help="Made-up runs in a real MLflow database.")] = 500,
    others: Annotated[
        int | None,
        typer.Option("--others", min=0, help="Instead: whole commands that leave --runs among so many more runs."),
    ] = None,
) -> None:
    """Reading runs from MLflow, tables in all formats, another convention, the page, the size of stored outcomes.

    Examples:

        codyra-suite dev perf leaderboard

        codyra-suite dev perf leaderboard --runs 1000 --others 19000
    """
    if others is not None:
        from suite.measuring.tracked_board import measure_commands

        for cost in measure_commands(runs, others):
            typer.echo(f"{cost.cpu_seconds:6.1f} s of computing: leaderboard {cost.typed}\n         {cost.said}")
        return
    from suite.measuring.leaderboard import measure_board

    for what, value, unit in measure_board(runs):
        typer.echo(f"{value:8.2f} {unit:4} {what}")


def significance(
    rows: Annotated[str, typer.Option("--rows", help="Rows of the tables, separated by commas.")] = "100,1000",
) -> None:
    """Paired tests of all pairs of a table's rows and their ranks over tasks, on made-up outcomes.

    Examples:

        codyra-suite dev perf significance

        codyra-suite dev perf significance --rows 100
    """
    from suite.errors import ConfigError
    from suite.measuring.significance import measure_significance

    sizes = [int(word) if word.strip().isdecimal() else 0 for word in rows.split(",")]
    if min(sizes) < 3:
        raise ConfigError(f"--rows: '{rows}' is no list of whole numbers from 3 on; give one such as 100,1000.")
    for cost in measure_significance(sizes):
        typer.echo(f"{cost.rows:6,d} rows: {cost.pairs:6.1f} s for all pairs, {cost.ranks:6.1f} s for the ranks")


def forecast(device: DeviceOption = "auto") -> None:
    """Forecasts of 'codyra-suite plan' against real runs of the embedded benchmarks: time and peak memory.

    Examples:

        codyra-suite dev perf forecast
    """
    import statistics

    from suite.measuring.forecast import measure_forecasts

    rows = measure_forecasts(device, lambda line: typer.echo(line, err=True))
    for row in rows:
        typer.echo(
            f"{row.name:24}{row.seconds:7.1f} s   forecast/actual: time {row.seconds_ratio:.2f}, memory {row.bytes_ratio:.2f}"
        )
    off = [
        statistics.median(abs(ratio - 1) for ratio in ratios)
        for ratios in zip(*((r.seconds_ratio, r.bytes_ratio) for r in rows), strict=True)
    ]
    typer.echo(f"median error: time {100 * off[0]:.0f} %, memory {100 * off[1]:.0f} %")


def faults(
    kills: Annotated[int, typer.Option("--kills", min=1, help="Processes to kill: driver, workers, nodes in turn.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the moments and kinds.")] = 0,
) -> None:
    """Kill driver, workers and nodes of real sweeps at random moments; count duplicates, orphans, losses, differences.

    Exit code 1 if anything was harmed.

    Examples:

        codyra-suite dev perf faults

        codyra-suite dev perf faults --kills 3
    """
    from suite.measuring.faults import inject_faults

    harm = inject_faults(kills, seed, lambda line: typer.echo(line, err=True))
    for what, count in {
        **{f"{kind}s killed": count for kind, count in sorted(harm.kills.items())},
        "trials or MLflow runs that exist twice": harm.duplicates,
        "trials or runs left running": harm.orphans,
        "finished runs lost or trained again": harm.lost,
        "runs that differ from the undisturbed sweep": harm.different,
    }.items():
        typer.echo(f"{count:4d}  {what}")
    if not harm.none:
        raise typer.Exit(1)


def text(
    benchmark: Annotated[str, typer.Option("--benchmark", help="A text benchmark.")] = "mini-trace",
    settings: SetOption = None,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Padding share, cached and batched generation against one by one, memory and tokens per second per task.

    Examples:

        codyra-suite dev perf text

        codyra-suite dev perf text --benchmark trace --data-root data --set backbone.model=path/to/model
    """
    from suite.backbones.lm_config import LanguageModelConfig
    from suite.errors import ConfigError
    from suite.measuring.text import measure_text
    from suite.workflows.configs import run_config
    from trainables.device import choose_device

    config = run_config(benchmark, method="lora", seed=None, settings=settings or [])
    if not isinstance(config.backbone, LanguageModelConfig):
        raise ConfigError(
            f"dev perf text: benchmark '{benchmark}' has images; use mini-trace, trace, trace-500 or standard-cl."
        )
    print_rows(measure_text(config.benchmark.open(data_root), config.backbone, choose_device(device)))


def startup(repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5) -> None:
    """Seconds until the command line answers ``--help``, as a whole process.

    Examples:

        codyra-suite dev perf startup

        codyra-suite dev perf startup --repeats 11
    """
    import statistics

    from suite.measuring.commands import measure_startup

    times = measure_startup(repeats)
    typer.echo(f"codyra-suite --help: median {statistics.median(times):.2f} s, largest {max(times):.2f} s, target 0.7 s")


def demo(folder: Annotated[Path, typer.Option("--folder", help="Empty folder to run in.")] = Path("perf-demo")) -> None:
    """Run the whole demo in an empty folder; wall time and peak memory of all its processes together.

    Examples:

        codyra-suite dev perf demo

        codyra-suite dev perf demo --folder /tmp/perf-demo
    """
    from suite.measuring.commands import measure_demo

    cost = measure_demo(folder)
    gib = cost.peak_bytes / 2**30
    typer.echo(f"demo: {cost.seconds:.0f} s (target 300 s), {gib:.2f} GiB (target 6 GiB), exit code {cost.code}")
    if cost.code:
        raise typer.Exit(cost.code)


def print_rows(rows: Sequence[Any]) -> None:
    """A table of comparison rows."""
    from suite.cli.tables import Column, Sheet, print_sheet

    columns = [
        Column("what", wraps=True),
        Column("plain"),
        Column("fast"),
        Column("unit", wraps=True),
        Column("ratio"),
        Column("note", wraps=True),
    ]
    cells = [[row.name, f"{row.plain:.4g}", f"{row.fast:.4g}", row.unit, f"{row.ratio:.2f}", row.note] for row in rows]
    print_sheet(Sheet("", columns, cells))
