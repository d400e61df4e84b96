"""A model card for exported weights: what they are, how they were learned, what they score, under which licence, how to get them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from suite.leaderboard.table import backbone_text, budget_text, took_steps
from suite.metrics.conventions import compute_if_defined
from suite.metrics.matrix import AccuracyMatrix
from suite.runs.record import Record, setting_text

CARD = "README.md"  # where Hugging Face looks for it
MINIATURES = ("mini-clip", "mini-lm")  # trained by the suite from generated data
UNKNOWN = "unknown"


def model_card(record: Record, library: str) -> str:
    """The card in Markdown, with the fields that Hugging Face reads at its top.

    Args:
        library: that loads the weights: ``transformers`` or ``open_clip``.
    """
    base, licence = _base(record.config["backbone"])
    head: dict[str, Any] = {"library_name": library, "tags": ["continual-learning", "low-rank-adaptation", "codyra-suite"]}
    head |= {"base_model": base} if "/" in base and not Path(base).is_absolute() else {}
    head |= {"license": licence} if licence != UNKNOWN else {}
    return "\n".join(["---", yaml.safe_dump(head, sort_keys=False).rstrip(), "---", "", *_body(record, base, licence), ""])


def _body(record: Record, base: str, licence: str) -> list[str]:
    training = record.config["training"]
    budget = f", {budget_text(training)} per task" if took_steps([record]) else ""
    commit = f"commit {record.commit or 'unknown'}" + (", with changed files" if record.dirty else "")
    said = "not stated beside the weights; look it up at the base model" if licence == UNKNOWN else licence
    return [
        f"# {record.method} on {record.benchmark}",
        "",
        f"{backbone_text(record.config['backbone'])} after learning {len(record.tasks)} tasks one after the other.",
        "",
        "| | |",
        "|---|---|",
        *(
            f"| {name} | {_cell(text)} |"
            for name, text in {
                "method": f"{record.method}{budget}, learning rate {training['lr']:g}, seed {record.config['seed']}",
                "stream": f"{record.benchmark}, {setting_text(record.setting)}",
                "tasks, in this order": ", ".join(record.tasks),
                "base model": base,
                "licence of the base model": said,
                "run": f"{record.run_id}, {record.status}",
                "data fingerprint": record.data_fingerprint,
                "code": f"codyra-suite {record.versions.get('codyra-suite', '')}, {commit}, code version {record.code_version}",
            }.items()
        ),
        "",
        "These weights may be used under the licence of the base model, and as the licences of the training data allow.",
        "",
        "## Test results",
        "",
        "A row for what had been learned, a column for what was tested, in percent.",
        "",
        *_matrix(record),
        "",
        *_metrics(record),
        "",
        "## Have it again",
        "",
        "```bash",
        f"codyra-suite run config.yaml        # the settings of this run, in the file beside this card; its id is {record.run_id}",
        f"codyra-suite repeat {record.run_id}   # trains it again and compares every number, where the run is stored",
        "```",
    ]


def _matrix(record: Record) -> list[str]:
    heads = ["after", *map(_cell, record.tasks)]
    rows = [
        [
            _cell("nothing" if row == 0 else record.tasks[row - 1]),
            *("-" if value is None else f"{value:.1f}" for value in values),
        ]
        for row, values in enumerate(record.test)
    ]
    return [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows)]


def _metrics(record: Record) -> list[str]:
    if record.status != "finished":
        return []
    matrix = AccuracyMatrix.from_lists(record.test, tuple(record.tasks))
    values = {name: compute_if_defined(name, matrix) for name in record.metrics}
    return [", ".join(f"{name} {value:.2f}" for name, value in values.items() if value == value)]


def _base(backbone: dict[str, Any]) -> tuple[str, str]:
    """Name and licence of the network that was adapted; the licence as the card beside its weights says it."""
    name = str(backbone.get("model") or backbone["name"])
    if backbone["name"] in MINIATURES:
        return name, "apache-2.0"
    card = Path(name) / CARD
    if not card.is_file():
        return name, UNKNOWN
    parts = card.read_text(encoding="utf-8", errors="replace").split("---")
    try:
        fields = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else None
    except yaml.YAMLError:
        fields = None
    found = fields.get("license") if isinstance(fields, dict) else None
    return Path(name).name, str(found) if found else UNKNOWN


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;").replace("<", "&lt;")
