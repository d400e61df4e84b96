"""Commands ``data``: pull image sets, verify them, freeze their draws, decode them once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli import completion
from suite.cli.app import App
from suite.cli.options import DataOption, JsonOption, QuietOption
from suite.counting import counted
from suite.workflows.places import DATA, output_file

if TYPE_CHECKING:
    from suite.workflows.image_data import CachePlan

data_app = App(help="Get image sets, check them, freeze their draws, decode them once.")
BenchmarkArgument = Annotated[
    str, typer.Argument(autocompletion=completion.benchmarks, help="An image benchmark, see 'codyra-suite list benchmarks'.")
]
FieldsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Any field of the benchmark, e.g. order=II or draw_seed=3; repeatable."
    ),
]


@data_app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="mtil, xtail, or data sets such as dtd or eurosat.")],
    data_root: DataOption = DATA,
    mirror: Annotated[
        str | None, typer.Option("--from", help="Address of a folder with the archives, file:///... or https://...")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Download image sets with checksums; what is there already is left alone.

    Examples:

        codyra-suite data pull dtd eurosat --data-root data

        codyra-suite data pull xtail --from file:///mnt/archives
    """
    from suite.cli.progress import watcher
    from suite.workflows.image_data import pull_sets

    missing = 0
    for result in pull_sets(names, data_root, mirror, watcher(quiet)):
        if not quiet or result.state == "missing":
            typer.echo(f"{result.name}: {result.state}" + (f": {result.note}" if result.note else ""), err=quiet)
        missing += result.state == "missing"
    if missing:
        raise typer.Exit(1)


@data_app.command()
def verify(
    benchmark: BenchmarkArgument,
    data_root: DataOption = DATA,
    settings: FieldsOption = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Compare with this frozen list as well.")] = None,
    json: JsonOption = False,
) -> None:
    """Check counts, classes, splits, few-shot draws and every image; exit code 1 when something differs.

    Every image is read and decoded: damaged ones are named, and test images that are also training images.

    Examples:

        codyra-suite data verify xtail --data-root data

        codyra-suite data verify mtil-5shot --manifest mtil-5shot.json.gz
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import TerminalWatcher
    from suite.workflows.image_data import planned_benchmark, verify_images

    findings = verify_images(planned_benchmark(benchmark, settings or []), data_root, manifest, TerminalWatcher())
    if json:
        print_json({"benchmark": benchmark, "findings": findings})
    else:
        for finding in findings:
            typer.echo(f"{finding.task}: {finding.what}.")
        against = f"the shipped facts and {manifest}" if manifest else "the shipped facts"
        typer.echo(f"{benchmark}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)} against {against}.")
    if findings:
        raise typer.Exit(1)


@data_app.command()
def manifest(
    benchmark: BenchmarkArgument,
    out: Annotated[
        Path, typer.Option("--file", metavar="FILE", parser=output_file, help="File to write; .gz at the end compresses it.")
    ],
    data_root: DataOption = DATA,
    settings: FieldsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Freeze every split, label, class name and template of a benchmark into a file.

    Examples:

        codyra-suite data manifest xtail --file xtail.json.gz

        codyra-suite data manifest mtil-5shot --set draw_seed=1 --file mtil-5shot-1.json
    """
    from suite.cli.progress import watcher
    from suite.files import is_standard_output
    from suite.workflows.image_data import freeze, planned_benchmark

    frozen = freeze(planned_benchmark(benchmark, settings or []), data_root, out, watcher(quiet))
    count = sum(len(split.ids) for task in frozen.tasks for split in task.splits.values())
    said = f"{out}: {counted(len(frozen.tasks), 'task')}, {counted(count, 'image')}, digest {frozen.digest[:16]}"
    if not quiet:
        typer.echo(said, err=is_standard_output(out))


@data_app.command()
def cache(
    benchmark: BenchmarkArgument,
    data_root: DataOption = DATA,
    settings: FieldsOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be decoded and how large it is.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Delete the caches of this benchmark first.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read all finished caches and compare their checksums.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Threads; default one per core.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decode a benchmark's images once; every trial on this machine then reads them from a memory map.

    A build that was killed goes on where it stopped. The folder is $CODYRA_SUITE_CACHE or ~/.cache/codyra-suite.

    Examples:

        codyra-suite data cache xtail --plan

        codyra-suite data cache mtil-5shot --set order=II
    """
    from suite.cli.json_output import print_json
    from suite.cli.progress import watcher
    from suite.data.cache import readable_size
    from suite.errors import ConfigError
    from suite.workflows.image_data import check_caches, decode, plan_caches, planned_benchmark, remove_caches

    if plan and (rebuild or check):
        raise ConfigError(
            f"data cache: --plan only counts, so {'--rebuild' if rebuild else '--check'} would do nothing; use one."
        )
    planned = plan_caches(planned_benchmark(benchmark, settings or []), data_root)
    if rebuild:
        remove_caches(planned.caches)
    say = partial(_say, quiet=json or (quiet and not plan))
    for each in planned.caches:
        state = "there" if each.is_built else "to decode"
        say(f"{each.title}: {counted(len(each.items), 'image')}, {readable_size(each.total_bytes)}, {state}")
    say(
        f"{counted(sum(len(each.items) for each in planned.missing), 'image')} to decode, "
        f"{readable_size(sum(each.total_bytes for each in planned.missing))} in {planned.folder}, "
        f"{readable_size(planned.free_bytes)} free"
    )
    if plan and json:
        print_json(_cache_fields(planned))
    if plan:
        return
    decode(planned.caches, workers, watcher(quiet))
    say(f"{counted(len(planned.caches), 'cache', 'is', 'are')} ready.")
    if check:
        check_caches(planned.caches)
        say("all checksums are right.")
    if json:
        print_json({**_cache_fields(planned), "are_checked": check})


def _cache_fields(planned: CachePlan) -> dict[str, Any]:
    """The caches of a benchmark for ``--json``."""
    caches = [
        {"title": each.title, "images": len(each.items), "bytes": each.total_bytes, "is_built": each.is_built}
        for each in planned.caches
    ]
    return {"folder": planned.folder, "free_bytes": planned.free_bytes, "caches": caches}


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        typer.echo(text)
