"""Command ``pretrain-mini``: rebuild the small networks that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.workflows.places import folder_named


def pretrain_mini(
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", parser=folder_named, help="Folder for the rebuilt weights.")
    ] = Path("mini-weights"),
    which: Annotated[str, typer.Option("--which", help="clip, lm or all.")] = "all",
    seed: Annotated[int, typer.Option("--seed", help="Seed of initialisation and drawing.")] = 0,
) -> None:
    """Pretrain the shipped mini CLIP and mini language model again, from nothing but committed code.

    Takes a few minutes per network on one core. Same seed and machine, same weights.

    Examples:

        codyra-suite pretrain-mini

        codyra-suite pretrain-mini --which clip --out /tmp/mini --seed 1
    """
    from suite.backbones.pretrain_clip import pretrain_mini_clip
    from suite.backbones.pretrain_lm import pretrain_mini_lm
    from suite.cli.progress import WorkProgress
    from suite.errors import unknown_name

    makers = {"clip": pretrain_mini_clip, "lm": pretrain_mini_lm}
    if which not in (*makers, "all"):
        raise unknown_name("mini network", which, [*makers, "all"], where="--which")
    for name in makers if which == "all" else (which,):
        with WorkProgress(f"pretraining mini {name}", total=None) as progress:

            def listen(step: int, steps: int, loss: float, progress: WorkProgress = progress) -> None:
                progress.expect(steps)
                progress.done(step, f"loss {loss:.3f}")

            makers[name](out, seed=seed, progress=listen)
        typer.echo(f"mini {name} written to {out}")
