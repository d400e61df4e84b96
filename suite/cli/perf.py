"""Commands ``dev perf``: ratios of fast paths to their plain twins, measured side by side in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from suite.cli.json_output import plain, print_json
from suite.cli.options import DataOption, DeviceOption, JsonOption, SetOption
from suite.workflows.places import DATA


def data(
    images: Annotated[int, typer.Option("--images", min=128, help="JPEG files to decode, cache and read.")] = 512,
    size: Annotated[int, typer.Option("--size", min=8, help="Pixels per side in the cache.")] = 224,
    build_images: Annotated[
        int, typer.Option("--build-images", min=1000, help="Images of the build whose memory is taken.")
    ] = 100_000,
    json: JsonOption = False,
) -> None:
    """Image cache: reading against decoding, resident memory, memory of a large build, what a kill costs.

    Examples:

        codyra-suite dev perf data

        codyra-suite dev perf data --images 2000 --build-images 10000
    """
    from suite.measuring.image_cache import measure_data

    print_rows(measure_data(images, size, build_images), as_json=json)


def leaderboard(
    runs: Annotated[int, typer.Option("--runs", min=100, help="Made-up runs in a real MLflow database.")] = 500,
    others: Annotated[
        int | None,
        typer.Option("--others", min=0, help="Instead: whole commands that leave --runs among so many more runs."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Reading runs from MLflow, tables in all formats, another convention, the page, the size of stored outcomes.

    Examples:

        codyra-suite dev perf leaderboard

        codyra-suite dev perf leaderboard --runs 1000 --others 19000
    """
    if others is not None:
        from suite.measuring.tracked_board import measure_commands

        costs = list(measure_commands(runs, others))
        if json:
            print_json(costs)
            return
        for cost in costs:
            typer.echo(f"{cost.cpu_seconds:6.1f} s of computing: leaderboard {cost.typed}\n         {cost.said}")
        return
    from suite.measuring.leaderboard import measure_board

    found = list(measure_board(runs))
    if json:
        print_json([{"what": what, "value": value, "unit": unit} for what, value, unit in found])
        return
    for what, value, unit in found:
        typer.echo(f"{value:8.2f} {unit:4} {what}")


def significance(
    rows: Annotated[str, typer.Option("--rows", help="Rows of the tables, separated by commas.")] = "100,1000",
    json: JsonOption = False,
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
    costs = list(measure_significance(sizes))
    if json:
        print_json(costs)
        return
    for cost in costs:
        typer.echo(f"{cost.rows:6,d} rows: {cost.pairs:6.1f} s for all pairs, {cost.ranks:6.1f} s for the ranks")


def forecast(device: DeviceOption = "auto", json: JsonOption = False) -> None:
    """Forecasts of 'codyra-suite plan' against real runs of the embedded benchmarks: time and peak memory.

    Examples:

        codyra-suite dev perf forecast
    """
    import statistics

    from suite.measuring.forecast import measure_forecasts

    rows = measure_forecasts(device, lambda line: typer.echo(line, err=True))
    if json:
        print_json([{**plain(row), "seconds_ratio": row.seconds_ratio, "bytes_ratio": row.bytes_ratio} for row in rows])
        return
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
    json: JsonOption = False,
) -> None:
    """Kill driver, workers and nodes of real sweeps at random moments; count duplicates, orphans, losses, differences.

    Exit code 1 if anything was harmed.

    Examples:

        codyra-suite dev perf faults

        codyra-suite dev perf faults --kills 3
    """
    from suite.measuring.faults import inject_faults

    harm = inject_faults(kills, seed, lambda line: typer.echo(line, err=True))
    counts = {
        **{f"{kind}s killed": count for kind, count in sorted(harm.kills.items())},
        "trials or MLflow runs that exist twice": harm.duplicates,
        "trials or runs left running": harm.orphans,
        "finished runs lost or trained again": harm.lost,
        "runs that differ from the undisturbed sweep": harm.different,
    }
    if json:
        print_json(counts)
    else:
        typer.echo("\n".join(f"{count:4d}  {what}" for what, count in counts.items()))
    if not harm.none:
        raise typer.Exit(1)


def text(
    benchmark: Annotated[str, typer.Option("--benchmark", help="A text benchmark.")] = "mini-trace",
    settings: SetOption = None,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Padding share, cached and batched generation against one by one, memory and tokens per second per task.

    Examples:

        codyra-suite dev perf text

        codyra-suite dev perf text --benchmark trace --data-root data --set backbone.model=path/to/model

        codyra-suite dev perf text --set backbone.name=causal-lm --set backbone.model=path/to/model
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
    print_rows(measure_text(config.benchmark.open(data_root), config.backbone, choose_device(device)), as_json=json)


def startup(repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5, json: JsonOption = False) -> None:
    """Seconds until the command line answers ``--help``, as a whole process.

    Examples:

        codyra-suite dev perf startup

        codyra-suite dev perf startup --repeats 11
    """
    import statistics

    from suite.measuring.commands import measure_startup

    times = measure_startup(repeats)
    if json:
        print_json({"seconds": times, "target_seconds": 0.7})
        return
    typer.echo(f"codyra-suite --help: median {statistics.median(times):.2f} s, largest {max(times):.2f} s, target 0.7 s")


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Empty folder to run in.")] = Path("perf-demo"),
    json: JsonOption = False,
) -> None:
    """Run the whole demo in an empty folder; wall time and peak memory of all its processes together.

    Examples:

        codyra-suite dev perf demo

        codyra-suite dev perf demo --folder /tmp/perf-demo
    """
    from suite.measuring.commands import measure_demo

    cost = measure_demo(folder)
    gib = cost.peak_bytes / 2**30
    if json:
        print_json(cost)
    else:
        typer.echo(f"demo: {cost.seconds:.0f} s (target 300 s), {gib:.2f} GiB (target 6 GiB), exit code {cost.code}")
    if cost.code:
        raise typer.Exit(cost.code)


def print_rows(rows: Sequence[Any], *, as_json: bool) -> None:
    """A table of comparison rows, or the same as JSON."""
    if as_json:
        print_json([{**plain(row), "ratio": row.ratio} for row in rows])
        return
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
