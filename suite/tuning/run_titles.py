"""How trackers call the runs of a study or a tuning, so that nobody has to open them to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 200  # characters
DIVIDER = " · "


def trial_title(number: int, settings: Mapping[str, Any], seed: int | None = None) -> str:
    """``trial 7 · text:qkvoinout · kappa_max 0.023``: words stand alone, numbers behind the last part of their name.

    Args:
        settings: dotted name -> value, those that the study searches.
        seed: of the run, where a trial has several.
    """
    names = [name.rpartition(".")[2].partition("#")[0] for name in settings]
    parts = [
        value if isinstance(value, str) else f"{short if names.count(short) == 1 else name} {_number(value)}"
        for (name, value), short in zip(settings.items(), names, strict=True)
        if value is not None
    ]
    return _bounded([f"trial {number}", *([] if seed is None else [f"seed {seed}"]), *parts])


def judging_title(of: str, setting: str, seed: int, order: str) -> str:
    """``mini-xtail lora · tuned setting · order 2 · seed 101 · judging``.

    Args:
        of: benchmark and method.
        setting: which of the two, ``default`` or ``tuned``.
        order: of the tasks; empty where the benchmark has one alone.
    """
    return _bounded([of, f"{setting} setting", *([f"order {order}"] if order else []), f"seed {seed}", "judging"])


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _bounded(parts: list[str]) -> str:
    title = DIVIDER.join(parts)
    return title if len(title) <= LONGEST else title[: LONGEST - 3] + "..."
