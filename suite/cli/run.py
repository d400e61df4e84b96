"""Commands ``run`` (one stream) and ``compare`` (methods x benchmarks x seeds)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from suite.config import RunConfig
    from suite.runs.record import Record
    from suite.tracking.mlflow_sink import MlflowSink

OutOption = Annotated[Path, typer.Option("--out", help="Folder for runs, studies and caches.")]
DataOption = Annotated[Path, typer.Option("--data-root", envvar="CODYRA_DATA", help="Folder with the data sets.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any field of the config, e.g. method.rank=8 or training.lr=1e-3; repeatable.")
]
TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking", envvar="MLFLOW_TRACKING_URI", help="MLflow URI; default sqlite:///mlflow.db. 'none' = off."),
]
OUT = Path("codyra-runs")
DATA = Path("data")


def run(
    what: Annotated[str, typer.Argument(help="A benchmark's name, or the path of a run's YAML config.")],
    method: Annotated[str | None, typer.Option("--method", help="Method; see 'codyra-suite list methods'.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root seed of the run.")] = None,
    settings: SetOption = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    accept_zero_shot: Annotated[
        bool, typer.Option("--accept-zero-shot", help="Train although zero-shot accuracy is not the published one.")
    ] = False,
    tracking: TrackingOption = None,
) -> None:
    """Learn one stream with one method and store its record.

    A run that was interrupted goes on from its last finished task; one that is finished is shown, not trained again.

    Examples:

        codyra-suite run mini-xtail --method codyra --set method.rank=8

        codyra-suite run codyra-runs/runs/0123456789abcdef/config.yaml --seed 1
    """
    from suite.cli.progress import WorkProgress
    from suite.cli.summary import print_run
    from suite.cli.tracking import opened_sink
    from suite.runs.store import RunStore

    config = run_config(what, method=method, seed=seed, settings=settings or [])
    sink = opened_sink(tracking, out)
    from trainables.run import Report, Surroundings, execute

    with WorkProgress(f"{config.benchmark.name} {_method_name(config)}", total=None) as progress:

        heard: list[int] = []

        def listen(report: Report) -> bool:
            heard.append(report.row)
            progress.expect(report.of)
            progress.done(report.row)
            return True

        surroundings = Surroundings(out, data_root, device, accept_zero_shot=accept_zero_shot, on_step=progress.step)
        record = execute(config, surroundings, listen)
    track([record], sink)
    print_run(record, RunStore(out).folder(record.run_id), found=not heard)
    if record.status == "failed":
        raise typer.Exit(1)


def compare(
    benchmarks: Annotated[list[str] | None, typer.Option("--benchmark", "-b", help="Benchmark; repeatable.")] = None,
    methods: Annotated[list[str] | None, typer.Option("--method", "-m", help="Method; repeatable.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, e.g. 0-2 or 0,1,5.")] = "0",
    settings: SetOption = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1, help="Runs at a time; default one per core or GPU.")] = None,
    out: OutOption = OUT,
    data_root: DataOption = DATA,
    device: DeviceOption = "auto",
    tracking: TrackingOption = None,
) -> None:
    """Run every method on every benchmark with every seed, on Ray, and show the leaderboard.

    Runs that are already finished are reused. Without options: all methods on mini-mtil and mini-xtail. A setting that begins
    with a method's name holds for that method alone.

    Examples:

        codyra-suite compare -b mini-xtail -m codyra -m lora --seeds 0-2

        codyra-suite compare -b mini-mtil --set training.steps=120 --set codyra.kappa_max=0.02
    """
    from suite.cli.compare import carry_list, comparison, seed_list, show_board
    from suite.registry import METHODS
    from suite.tuning.carriage import Carriage

    if not methods:
        methods, reasons = METHODS.usable()
        for reason in reasons:
            typer.echo(f"left out: {reason}", err=True)
    configs = comparison(benchmarks or ["mini-mtil", "mini-xtail"], methods, seed_list(seeds), settings or [])
    carriage = Carriage(out, data_root, device, concurrency=concurrency)
    failures = carry_list(configs, carriage, tracking, title="comparing")
    for sentence in failures:
        typer.echo(f"failed: {sentence}", err=True)
    if len(failures) < len(configs):
        show_board(tracking, out)
    if failures:
        raise typer.Exit(1)


def run_config(what: str, *, method: str | None, seed: int | None, settings: list[str]) -> RunConfig:
    """The config named by a benchmark or a file, with the command line's overrides, resolved and frozen.

    Raises:
        ConfigError: unknown names, wrong values, unreadable file; all problems in one message.
    """
    from suite.config import RunConfig, apply_overrides, validate
    from suite.errors import unknown_name
    from suite.registry import BENCHMARKS
    from suite.yaml_files import load_yaml

    fields: dict[str, Any]
    if Path(what).suffix in (".yaml", ".yml", ".json") or "/" in what:
        fields, where = load_yaml(Path(what)), what
    elif what in BENCHMARKS:
        fields, where = {"benchmark": {"name": what}}, "config"
    else:
        raise unknown_name("benchmark", what, BENCHMARKS)
    if method is not None:
        given = fields.get("method")
        same = isinstance(given, dict) and given.get("name") == method
        fields["method"] = given if same else {"name": method}
    fields.setdefault("method", {"name": "codyra"})
    if seed is not None:
        fields["seed"] = seed
    return validate(RunConfig, apply_overrides(fields, settings), where=where)


def _method_name(config: RunConfig) -> str:
    return str(config.resolved()["method"]["name"])


def track(records: list[Record], sink: MlflowSink | None) -> None:
    """Log records that were made without a study, and say what could not be delivered."""
    if sink is None:
        return
    from suite.cli.pictures import attach_run_pictures
    from suite.cli.tracking import say_waiting

    for record in records:
        sink.log_run(record)
    attach_run_pictures(sink, records, sink.out)
    say_waiting(sink.out)
