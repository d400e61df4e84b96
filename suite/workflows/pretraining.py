"""The small networks that the package ships, made again from nothing but code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from suite.errors import SuiteError, unknown_name
from suite.workflows.progress import QUIET, Watcher

NETWORKS = ("clip", "lm")
CHILD = "import sys; from suite.workflows.pretraining import pretrain_for; pretrain_for(*sys.argv[1:])"


def pretrain_mini(
    out: Path | str = "mini-weights", which: str = "all", *, seed: int = 0, watcher: Watcher = QUIET
) -> list[str]:
    """Pretrain the mini CLIP, the mini language model, or both side by side; returns the names of those that were written below ``out``.

    Each takes one core, so that the number of cores changes no weight.

    Args:
        which: ``clip``, ``lm`` or ``all``.
        seed: of initialisation and drawing; same seed and machine, same weights.

    Raises:
        SuiteError: another ``which``, or what ended the network that was pretrained beside the first.
    """
    if which not in (*NETWORKS, "all"):
        raise unknown_name("mini network", which, [*NETWORKS, "all"], where="--which")
    chosen = list(NETWORKS) if which == "all" else [which]
    _pretrain(Path(out), chosen, seed, None, watcher)
    return chosen


def _pretrain(out: Path, chosen: list[str], seed: int, steps: int | None, watcher: Watcher) -> None:
    """The first network here, the others in processes of their own."""
    first, *others = chosen
    out.mkdir(parents=True, exist_ok=True)  # a place that takes no folder is found now, not after the training
    begun = {name: _begun(out, name, seed, steps) for name in others}
    try:
        with watcher.begin(f"pretraining mini {first}", None) as work:

            def listen(step: int, of: int, loss: float) -> None:
                work.expect(of)
                work.done(step, f"loss {loss:.3f}")

            _make(out, first, seed, steps, listen)
        for name, process in begun.items():
            with watcher.begin(f"pretraining mini {name}", None):
                said = process.communicate()[1].strip()
            if process.returncode:
                reason = said.splitlines()[-1] if said else f"exit code {process.returncode}"
                raise SuiteError(f"pretrain-mini: mini {name} was not made ({reason}); try --which {name} alone.")
    finally:
        for process in begun.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def _begun(out: Path, name: str, seed: int, steps: int | None) -> subprocess.Popen[str]:
    words = [str(out.absolute()), name, str(seed), str(steps or 0), str(os.getpid())]
    return subprocess.Popen([sys.executable, "-c", CHILD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def pretrain_for(out: str, name: str, seed: str, steps: str, parent: str) -> None:
    """Pretrain one network in a process that ends with the one that began it; ``steps`` 0 = as shipped."""

    def listen(step: int, of: int, loss: float) -> None:
        if os.getppid() != int(parent):
            raise SystemExit(1)

    _make(Path(out), name, int(seed), int(steps) or None, listen)


def _make(out: Path, name: str, seed: int, steps: int | None, listen: Callable[[int, int, float], None]) -> None:
    from suite.backbones.pretrain_clip import pretrain_mini_clip
    from suite.backbones.pretrain_lm import pretrain_mini_lm

    budget = {} if steps is None else {"steps": steps}
    with _one_thread():
        {"clip": pretrain_mini_clip, "lm": pretrain_mini_lm}[name](out, seed=seed, progress=listen, **budget)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
