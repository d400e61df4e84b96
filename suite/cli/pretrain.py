"""Command ``pretrain-mini``: rebuild the small networks that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.options import QuietOption
from suite.workflows.places import results_folder


def pretrain_mini(
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", parser=results_folder, help="Folder for the rebuilt weights.")
    ] = Path("mini-weights"),
    which: Annotated[str, typer.Option("--which", help="clip, lm or all.")] = "all",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of initialisation and drawing.")] = 0,
    quiet: QuietOption = False,
) -> None:
    """Pretrain the shipped mini CLIP and mini language model again, from nothing but committed code.

    Each takes about five minutes of one core; both are made side by side. Same seed and machine, same weights.

    Examples:

        codyra-suite pretrain-mini

        codyra-suite pretrain-mini --which clip --out /tmp/mini --seed 1
    """
    from suite.cli.progress import watcher
    from suite.workflows import pretraining

    try:
        names = pretraining.pretrain_mini(out, which, seed=seed, watcher=watcher(quiet))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("a network that was not finished leaves nothing, and the same command begins anew") from None
    for name in names:
        if not quiet:
            typer.echo(f"mini {name} written to {out}")
