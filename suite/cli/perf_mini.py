"""Command ``dev perf mini``: the embedded streams measured, and held against published tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import SetOption, seed_list
from suite.errors import ConfigError
from suite.workflows.places import results_folder

RatesOption = Annotated[
    bool, typer.Option("--rates", help="Instead: learning rates on validation data, then test scores at the best.")
]
AgreementOption = Annotated[
    bool, typer.Option("--agreement", help="Instead: does the order of methods agree with the published tables?")
]
SeedsOption = Annotated[
    str | None,
    typer.Option("--seeds", help="Seeds, e.g. 0-2; default 0-2, with --agreement 0-4. With --rates the first chooses."),
]
BenchmarksOption = Annotated[
    list[str] | None, typer.Option("--benchmark", "-b", help="With --rates, --agreement: this miniature; repeatable.")
]
MethodsOption = Annotated[
    list[str] | None, typer.Option("--method", "-m", help="With --rates, --agreement: this method; repeatable.")
]
StepsOption = Annotated[
    list[int] | None,
    typer.Option("--steps", min=1, help="With --rates: also so many steps per task, at the best rate; repeatable."),
]
PlaceOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        parser=results_folder,
        help="Folder for the runs, default perf-rates or perf-agreement; the same command goes on there.",
    ),
]


def mini(
    seeds: SeedsOption = None,
    rates: RatesOption = False,
    agreement: AgreementOption = False,
    benchmarks: BenchmarksOption = None,
    methods: MethodsOption = None,
    steps: StepsOption = None,
    settings: SetOption = None,
    out: PlaceOption = None,
) -> None:
    """Each embedded image domain: zero-shot, fine-tuned alone, and what is left of it after the whole stream.

    With --rates: every method at its learning rates on validation data, then on test data at the best one; --steps adds budgets.
    With --agreement: every method of the published tables on the miniature, each at a learning rate that is chosen on validation
    data, and Kendall's tau-b between both orders with an interval over seeds.

    Examples:

        codyra-suite dev perf mini --seeds 0

        codyra-suite dev perf mini --rates -b mini-trace -m lora -m ewc --seeds 0-2

        codyra-suite dev perf mini --agreement -b mini-xtail -m lora -m codyra -m zscl --seeds 0-1
    """
    if rates and agreement:
        raise ConfigError("dev perf mini: --rates and --agreement are two measurements; ask for one.")
    if steps and not rates:
        raise ConfigError("dev perf mini: --steps goes with --rates; add it or leave it out.")
    if rates:
        _rates(seed_list(seeds or "0-2"), benchmarks, methods, steps, settings, out or Path("perf-rates"))
    elif agreement:
        _agreement(seed_list(seeds or "0-4"), benchmarks, methods, settings, out or Path("perf-agreement"))
    elif benchmarks or methods or settings or out:
        raise ConfigError(
            "dev perf mini: --benchmark, --method, --set and --out go with --rates or --agreement; add one or leave them out."
        )
    else:
        from suite.measuring.mini import mini_table

        typer.echo(mini_table(seed_list(seeds or "0-2")))


def _rates(
    seeds: Sequence[int],
    benchmarks: Sequence[str] | None,
    methods: Sequence[str] | None,
    steps: Sequence[int] | None,
    settings: Sequence[str] | None,
    out: Path,
) -> None:
    from suite.cli.progress import TerminalWatcher
    from suite.measuring.mini_rates import Asked, rate_tables

    asked = Asked(seeds, benchmarks or None, methods or None, steps or (), settings or ())
    typer.echo(rate_tables(asked, out, TerminalWatcher(), lambda line: typer.echo(line, err=True)))


def _agreement(
    seeds: Sequence[int],
    benchmarks: Sequence[str] | None,
    methods: Sequence[str] | None,
    settings: Sequence[str] | None,
    out: Path,
) -> None:
    from suite.cli.agreement_board import print_agreement
    from suite.cli.progress import TerminalWatcher
    from suite.measuring.agreement_runs import Asked, measure_agreement

    asked = Asked(seeds, benchmarks or None, methods or None, settings or ())
    for found in measure_agreement(asked, out, TerminalWatcher(), lambda line: typer.echo(line, err=True)):
        print_agreement(found)
