"""Commands ``dev perf`` about sweeps: what driver, sampler, stopping rules and sharing cost and save."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from suite.cli.json_output import plain, print_json
from suite.cli.options import JsonOption, OutOption
from suite.workflows.places import OUT


def sweep(
    trials: Annotated[int, typer.Option("--trials", min=3, help="Trials one at a time, then two at a time.")] = 6,
    json: JsonOption = False,
) -> None:
    """What a sweep costs beside its trials' own work, and what two trials at a time bring.

    Examples:

        codyra-suite dev perf sweep
    """
    from suite.measuring.sweep import measure_sweep

    cost = measure_sweep(trials)
    if json:
        print_json(cost)
        return
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
    json: JsonOption = False,
) -> None:
    """What the driver spends on one trial of a study of 100, 1,000, 5,000 and so many trials, with random search and with TPE.

    Examples:

        codyra-suite dev perf driver

        codyra-suite dev perf driver --trials 5000 --stopping halving
    """
    from suite.measuring.driver import measure_driver

    costs = list(measure_driver(trials, stopping))
    if json:
        print_json(costs)
        return
    for cost in costs:
        typer.echo(
            f"{cost.trials:6,d} trials, {cost.sampler:6} {cost.milliseconds:6.0f} ms per trial, {cost.cpu_milliseconds:6.0f} ms of it computing, "
            f"{cost.statements:.0f} SQL statements"
        )


def history(
    trials: Annotated[int, typer.Option("--trials", min=100, help="Of each search.")] = 1500,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Searches of each function and kind.")] = 3,
    most: Annotated[int, typer.Option("--most", min=20, help="Trials that TPE sees of more.")] = 300,
    json: JsonOption = False,
) -> None:
    """What TPE finds of two known functions when it sees all trials, and when it sees as many as in a long study.

    Examples:

        codyra-suite dev perf history

        codyra-suite dev perf history --trials 600 --most 120
    """
    from suite.measuring.sampler_history import measure_history

    searches = list(measure_history(trials, seeds, most))
    if json:
        print_json(searches)
        return
    for found in searches:
        typer.echo(
            f"{found.function:10} seed {found.seed}, TPE sees {found.shown:>5}: {found.regret:.4f} from the optimum, "
            f"{found.milliseconds:4.0f} ms per trial at the end"
        )


def stopping(
    study: Annotated[str, typer.Argument(help="A study whose trials were all learned to the end.")],
    out: OutOption = OUT,
    json: JsonOption = False,
) -> None:
    """Replay stopping rules on recorded full trials: cost, what the best final value lost, share of the full front's hypervolume.

    Regret is the best value of the first objective that the study reached minus the best among the trials that the rule leaves, in
    the trials' own order and as a mean over ten drawn orders.

    Examples:

        codyra-suite sweep stopping_study.yaml && codyra-suite dev perf stopping stopping
    """
    from suite.cli.board import show_frame
    from suite.measuring.sweep import replay_rules

    frame = replay_rules(out, study)
    if json:
        print_json(frame)
        return
    show_frame(frame, f"study {study}, trials in their order, one after the other")


def null(
    tunings: Annotated[int, typer.Option("--tunings", min=20, help="Whole tunings to make up.")] = 1000,
    methods: Annotated[int, typer.Option("--methods", min=2, max=20, help="Methods in each, all equal.")] = 6,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Seeds that settings are judged with.")] = 3,
    orders: Annotated[int, typer.Option("--orders", min=1, max=10, help="Orders of tasks that each seed is judged in.")] = 1,
    json: JsonOption = False,
) -> None:
    """Make up tunings of equal methods and count how often their table says that one is better.

    Outcomes are drawn example by example, the best trial is chosen by validation, and the real table and sentences judge the rest. Exit
    code 1 above 5 % and what chance adds in so many tunings: 6.5 % of 1,000.

    Examples:

        codyra-suite dev perf null

        codyra-suite dev perf null --tunings 200 --orders 2
    """
    from suite.measuring.null_tuning import allowed, equal_methods, measure_null

    said = measure_null(equal_methods(methods, seeds, orders), tunings)
    if json:
        print_json(said)
    for share, what in (
        (said.better, "a method is said to be better than another, with tuned settings"),
        (said.better_by_default, "the same of default settings"),
        (said.changed, "tuning is said to have raised or lowered a method"),
    ):
        typer.echo(err=json, message=f"{100 * share:5.1f} % of {said.tunings} tunings: {what}")
    typer.echo(err=json, message=f"{said.optimism:5.1f} points: mean optimism of selection")
    if said.better > allowed(tunings):
        typer.echo(
            f"One of two equal methods is called better too often: {100 * said.better:.1f} % is more than the {100 * allowed(tunings):.1f} % that a "
            f"promise of 5 % and chance allow in {tunings} tunings.",
            err=True,
        )
        raise typer.Exit(1)


def sharing(
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps per task.")] = 20,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds; 16 runs each.")] = 4,
    pairs: Annotated[
        int, typer.Option("--pairs", min=1, help="Pairs of runs that share nothing, with and without sharing.")
    ] = 8,
    json: JsonOption = False,
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
    if json:
        print_json({**plain(found), "share": found.share, "slower": found.slower})
    typer.echo(
        err=json,
        message=f"{found.runs} runs: {alone:.1f} s of training without sharing, {shared:.1f} s with it: {found.share:.0%} saved; "
        f"{found.differing} of {found.runs} runs differ; spare states take {found.spare_bytes / 1e6:.1f} MB",
    )
    typer.echo(
        err=json,
        message=f"where nobody begins alike, sharing costs {found.slower:.1%} of a run's processor seconds (median of {len(found.overheads)} pairs, "
        f"{min(found.overheads):.1%} to {max(found.overheads):.1%})",
    )
    if found.differing:
        raise typer.Exit(1)
