"""Command ``dev perf mini``: the embedded streams measured, and held against published tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import OutOption, SetOption, seed_list
from suite.errors import ConfigError

RatesOption = Annotated[bool, typer.Option("--rates", help="Learning rates instead, on validation data.")]
AgreementOption = Annotated[
    bool, typer.Option("--agreement", help="Instead: does the order of methods agree with the published tables?")
]
SeedsOption = Annotated[str | None, typer.Option("--seeds", help="Seeds, e.g. 0-2; default 0-2, with --agreement 0-4.")]
BenchmarksOption = Annotated[
    list[str] | None, typer.Option("--benchmark", "-b", help="With --agreement: this miniature; repeatable.")
]
MethodsOption = Annotated[list[str] | None, typer.Option("--method", "-m", help="With --agreement: this method; repeatable.")]


def mini(
    seeds: SeedsOption = None,
    rates: RatesOption = False,
    agreement: AgreementOption = False,
    benchmarks: BenchmarksOption = None,
    methods: MethodsOption = None,
    settings: SetOption = None,
    out: OutOption = Path("perf-agreement"),
) -> None:
    """Each embedded image domain: zero-shot, fine-tuned alone, and what is left of it after the whole stream.

    With --agreement: every method of the published tables on the miniature, each at a learning rate that is chosen on validation
    data, and Kendall's tau-b between both orders with an interval over seeds. Its runs are stored below --out, so that the same
    command goes on where it was.

    Examples:

        codyra-suite dev perf mini --seeds 0

        codyra-suite dev perf mini --rates --seeds 0-1

        codyra-suite dev perf mini --agreement -b mini-xtail -m lora -m codyra -m zscl --seeds 0-1
    """
    if not agreement:
        if benchmarks or methods or settings:
            raise ConfigError("dev perf mini: --benchmark, --method and --set go with --agreement; add it or leave them out.")
        from suite.measuring.mini import mini_table, rate_table

        typer.echo((rate_table if rates else mini_table)(seed_list(seeds or "0-2")))
        return
    if rates:
        raise ConfigError("dev perf mini: --rates and --agreement are two measurements; ask for one.")
    from suite.cli.agreement_board import print_agreement
    from suite.cli.progress import TerminalWatcher
    from suite.measuring.agreement_runs import Asked, measure_agreement

    asked = Asked(seed_list(seeds or "0-4"), benchmarks or None, methods or None, settings or [])
    for found in measure_agreement(asked, out, TerminalWatcher(), lambda line: typer.echo(line, err=True)):
        print_agreement(found)
