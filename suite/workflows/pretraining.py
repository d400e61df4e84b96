"""The small networks that the package ships, made again from nothing but code."""

from __future__ import annotations

from pathlib import Path

from suite.errors import unknown_name
from suite.workflows.progress import QUIET, Watcher

NETWORKS = ("clip", "lm")


def pretrain_mini(
    out: Path | str = "mini-weights", which: str = "all", *, seed: int = 0, watcher: Watcher = QUIET
) -> list[str]:
    """Pretrain the mini CLIP, the mini language model, or both; returns the names of those that were written below ``out``.

    Args:
        which: ``clip``, ``lm`` or ``all``.
        seed: of initialisation and drawing; same seed and machine, same weights.

    Raises:
        SuiteError: another ``which``.
    """
    from suite.backbones.pretrain_clip import pretrain_mini_clip
    from suite.backbones.pretrain_lm import pretrain_mini_lm

    if which not in (*NETWORKS, "all"):
        raise unknown_name("mini network", which, [*NETWORKS, "all"], where="--which")
    chosen = list(NETWORKS) if which == "all" else [which]
    for name in chosen:
        with watcher.begin(f"pretraining mini {name}", None) as work:

            def listen(step: int, steps: int, loss: float) -> None:
                work.expect(steps)  # called within this turn of the loop alone
                work.done(step, f"loss {loss:.3f}")

            makers = {"clip": pretrain_mini_clip, "lm": pretrain_mini_lm}
            makers[name](Path(out), seed=seed, progress=listen)
    return chosen
