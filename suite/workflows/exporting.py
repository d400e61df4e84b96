"""Write a run's weights for other software and prove that the written files answer like the run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from safetensors.torch import load_file

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig
from suite.backbones.learner import Learner
from suite.backbones.lm_config import LanguageModelConfig
from suite.config import CONFIG, write_config
from suite.errors import ConfigError, unknown_name
from suite.files import atomic_write
from suite.lowrank.export import merge_live_branches, merged_state, read_peft_adapter, write_peft_adapter, write_state
from suite.lowrank.layer import Slot, stacked
from suite.lowrank.placement import Placement
from suite.runs.finding import find_run
from suite.runs.store import RunStore
from suite.workflows.arguments import PathGiven, RunName, checked
from suite.workflows.model_card import CARD, model_card
from suite.workflows.places import DATA, OUT, folder_named
from suite.workflows.restoring import RestoredRun, differing_examples, restore
from trainables.checkpoint import Checkpoints

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "open_clip": "the merged weights of a CLIP in one file for open_clip",
        "hf": "a merged language model as a folder for transformers",
        "peft": "a language model's updates as one adapter folder per task for peft",
    }
)


@dataclass(frozen=True)
class Exported:
    """What an export wrote and proved.

    Attributes:
        files: files and folders that were written.
        differing: test examples, of ``examples`` compared, that are answered otherwise after loading the files again.
    """

    files: list[Path]
    differing: int
    examples: int


@checked
def export(
    name: RunName,
    format: str = "open_clip",
    to: PathGiven = "exported",
    *,
    out: PathGiven = OUT,
    data_root: PathGiven = DATA,
    device: str = "auto",
) -> Exported:
    """Write a run's merged model or its per-task adapters, and compare what the files answer with what the run answered.

    Args:
        name: a run's id, the unique beginning of one, its name, a tag that it alone has, or its folder.
        format: ``open_clip``, ``hf`` or ``peft``.
        to: folder; the files lie in a folder below it that is named after the run.
        out, data_root, device: as in ``run``.

    Raises:
        SuiteError: unknown run or format, a format that does not fit the backbone, other data or code than the run had.
    """
    if format not in FORMATS:
        raise unknown_name("export format", format, FORMATS, where="--format")
    run = restore(find_run(RunStore(folder_named(out)), name), folder_named(data_root), device)
    is_clip = hasattr(run.learner.network, "visual")
    if (format == "open_clip") != is_clip:
        fitting = "open_clip" if is_clip else "hf or peft"
        raise ConfigError(
            f"export: run {run.stored.record.run_id} has a {'CLIP' if is_clip else 'language model'}; use --format {fitting}."
        )
    _require_weights(run)
    written = {"open_clip": _open_clip, "hf": _hf, "peft": _peft}[format](run, folder_named(to) / run.stored.record.run_id)
    if format != "peft":
        written.files.extend(_described(run, written.files[0].parent, format))
    return Exported(written.files, *differing_examples(replace(run, learner=written.learner)))


def _require_weights(run: RestoredRun) -> None:
    """Refuse what stands beside the weights: no model file and no adapter holds it."""
    parts = [f"{key} on {name}" for name, site in run.learner.sites.items() for key in site.parts if not isinstance(site, Slot)]
    beside = [*run.method.modules(), *parts]
    if beside or not run.method.mergeable:
        what = f" ({beside[0]})" if beside else ""
        raise ConfigError(
            f"export: method '{run.config.method.name}' computes with more than weights{what}, which no format holds; its answers are "
            "those of the run's folder alone."
        )


def _described(run: RestoredRun, folder: Path, format: str) -> list[Path]:
    """The model card, and the settings that have the run again."""
    card = model_card(run.stored.record, "transformers" if format == "hf" else "open_clip")
    atomic_write(folder / CARD, card.encode())
    write_config(run.config, folder)
    return [folder / CARD, folder / CONFIG]


@dataclass(frozen=True)
class _Written:
    """Files, and a learner whose weights were read from them."""

    files: list[Path]
    learner: Learner


def _open_clip(run: RestoredRun, folder: Path) -> _Written:
    merge_live_branches(run.journal)
    target = folder / "open_clip_model.safetensors"
    write_state(merged_state(run.learner.network), target)
    run.learner.network.load_state_dict(load_file(target), strict=True)
    return _Written([target], run.learner)


def _hf(run: RestoredRun, folder: Path) -> _Written:
    """The folder is loaded again as transformers loads any model."""
    assert isinstance(run.learner, CausalLearner)
    merge_live_branches(run.journal)
    target = folder / "model.safetensors"
    write_state(merged_state(run.learner.network), target)
    files = [target, *run.learner.save_config(folder)]
    shared = {key: getattr(run.learner.config, key) for key in LanguageModelConfig.model_fields if key != "name"}
    again = CausalLMConfig(model=str(folder.resolve()), **shared)
    return _Written(files, again.build(run.learner.stream, run.learner.device))


def _peft(run: RestoredRun, folder: Path) -> _Written:
    """One adapter folder per task; the sum of all adapters is the run's update, added to an untouched backbone here."""
    assert isinstance(run.learner, CausalLearner)
    record, backbone = run.stored.record, run.config.backbone
    checkpoints = Checkpoints(run.stored.folder, record.run_id)
    modules = run.learner.module_paths()
    base = str(record.config["backbone"].get("model", record.config["backbone"]["name"]))
    fresh = backbone.build(run.learner.stream, run.learner.device)
    fresh.place(Placement(weights=tuple(sorted({name.split(".")[2] for name in modules}))))
    folders = []
    for row, task in enumerate(record.tasks, start=1):
        factors = {name: stacked(found) for name, found in checkpoints.merged(record.results[row]).items()}
        if not factors:
            continue
        adapter = folder / f"{row:02d}-{task}"
        write_peft_adapter(factors, modules, base, adapter)
        for name, found in read_peft_adapter(modules, adapter).items():
            fresh.slots[name].add_to_weight(found)
        folders.append(adapter)
    if not folders:
        raise ConfigError(
            f"export: run {run.stored.record.run_id} merged nothing task by task; use --format hf for its whole model."
        )
    return _Written(folders, fresh)
