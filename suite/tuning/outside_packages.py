"""Outside packages that a sweep or a tuning uses, as files that can travel with it: their own files and the entries that name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from suite.benchmarks.text_scores import TEXT_SCORES
from suite.method_titles import INNER
from suite.metrics.conventions import METRICS
from suite.registration import Entry
from suite.registry import BACKBONES, BENCHMARKS, METHODS, SPACES
from suite.runs.import_closure import PACKAGES, closure
from suite.runs.provenance import ROOT
from suite.tuning.study_config import StudyConfig
from suite.tuning.tune_config import TuneConfig
from suite.tuning.working_folder import package_files

Named = tuple[Mapping[str, Entry], str | None]  # a table and a name in it


def outside_entries(asked: StudyConfig | TuneConfig) -> list[Entry]:
    """Rows of outside packages among spaces, methods, benchmarks, backbones, text scores and objectives, each once."""
    if isinstance(asked, TuneConfig):
        named = [part for one in asked.entrants for part in (_of_study(one.study) if one.study else _of_run(one.run))]
    else:
        named = _of_study(asked)
    found = [table[name] for table, name in named if name is not None and name in table]
    return list(dict.fromkeys(entry for entry in found if entry.package is not None))


def _of_study(study: StudyConfig) -> list[Named]:
    spaces = [study.space] if isinstance(study.space, str) else list(study.space)
    return [
        *((SPACES.entries, space) for space in spaces),
        *((METHODS.entries, SPACES[space].method) for space in spaces),
        *((METHODS.entries, name) for fields in study.methods.values() for name in _inside(fields)),
        *_of_run(study.run),
        *((METRICS.entries, objective) for objective in study.objectives),
    ]


def _of_run(run: Mapping[str, Any]) -> list[Named]:
    """What the fields of a run name; the benchmark's own backbone where they name none."""
    benchmark = _name(run.get("benchmark"))
    default = BENCHMARKS[benchmark].backbone if benchmark is not None and benchmark in BENCHMARKS else None
    return [
        *((METHODS.entries, name) for name in (_name(run.get("method")), *_inside(run.get("method")))),
        (BENCHMARKS.entries, benchmark),
        (BACKBONES.entries, _name(run.get("backbone")) or _name(default)),
        *((TEXT_SCORES.entries, _name(score)) for score in _scores(run.get("benchmark"))),
    ]


def outside_files(entries: Iterable[Entry]) -> dict[str, Path | bytes]:
    """Path inside a job's working folder -> file or content.

    Of every package all its files, of other code of the user's that it imports the same, and beside them the metadata by which the
    registry finds the package there.
    """
    found: dict[str, Path | bytes] = {}
    for entry in entries:
        assert entry.package is not None
        for name, path in closure([entry.module], ROOT).items():
            top, *inner = Path(name).parts
            if top in PACKAGES:
                continue
            found |= package_files(path.parents[len(inner)], (top,)) if inner else {name: path}
        metadata = distribution(entry.package[0])
        folder = f"{'-'.join(entry.package).replace(' ', '_')}.dist-info"
        for name in ("METADATA", "entry_points.txt"):
            found[f"{folder}/{name}"] = (metadata.read_text(name) or "").encode()
    return found


def _inside(method: Any) -> list[str | None]:
    """Names of the methods inside a wrapper."""
    inner = method.get(INNER) if isinstance(method, Mapping) else None
    return [] if inner is None else [_name(inner), *_inside(inner)]


def _scores(benchmark: Any) -> list[Any]:
    """Names of the scores by which a text benchmark's tasks are judged."""
    metrics = benchmark.get("metrics") if isinstance(benchmark, Mapping) else None
    return list(metrics.values()) if isinstance(metrics, Mapping) else []


def _name(part: Any) -> str | None:
    """The name in a part of a run config, which is that name alone or fields."""
    name = part.get("name") if isinstance(part, Mapping) else part
    return name if isinstance(name, str) else None
