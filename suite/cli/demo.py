"""Command ``demo``: the whole suite on a laptop, from training to leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suite.cli.run import OUT, OutOption, TrackingOption


def demo(
    out: OutOption = OUT,
    csv: Annotated[Path, typer.Option("--csv", help="Where to write the leaderboard.")] = Path("leaderboard.csv"),
    tracking: TrackingOption = None,
) -> None:
    """Five methods on the embedded streams, a 12-trial CoDyRA study, and the leaderboard of it all; no download.

    Run again it reuses what is finished.

    Examples:

        codyra-suite demo

        codyra-suite demo --csv board.csv --tracking none
    """
    from suite.cli.demonstration import run_demo

    run_demo(out, csv, tracking)
