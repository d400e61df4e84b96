"""Write a run's weights for other software and prove that the written files answer like the run did."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from suite.errors import ConfigError, unknown_name
from suite.lowrank.export import merge_live_branches, merged_state, write_peft_adapter, write_state
from suite.lowrank.layer import Factors
from trainables.checkpoint import Checkpoints
from trainables.restore import RestoredRun, differing_examples, find_run, restore

FORMATS = ("open_clip", "hf", "peft")


def export_run(
    name: str, format: str, to: Path, out: Path, data_root: Path, device: str
) -> tuple[list[Path], int, int]:
    """Files written, test examples that differ from the stored outcomes after loading the files again, examples compared.

    Raises:
        ConfigError: unknown format, or one that does not fit the backbone.
    """
    if format not in FORMATS:
        raise unknown_name("export format", format, FORMATS, where="--format")
    run = restore(find_run(name, out), data_root, device)
    is_clip = hasattr(run.learner.network, "visual")
    if (format == "open_clip") != is_clip:
        fitting = "open_clip" if is_clip else "hf or peft"
        raise ConfigError(f"export: run {run.record.run_id} has a {'CLIP' if is_clip else 'language model'}; use --format {fitting}.")
    files = _peft(run, to) if format == "peft" else _merged(run, to, format)
    examples = sum(len(task.test) for task in run.learner.stream.tasks)
    return files, differing_examples(run), examples


def _merged(run: RestoredRun, to: Path, format: str) -> list[Path]:
    merge_live_branches(run.journal)
    target = to / run.record.run_id / ("open_clip_model.safetensors" if format == "open_clip" else "model.safetensors")
    write_state(merged_state(run.learner.network), target)
    run.learner.network.load_state_dict(load_file(target), strict=True)
    files = [target]
    save_config = getattr(run.learner, "save_config", None)
    return [*files, *save_config(target.parent)] if save_config else files


def _peft(run: RestoredRun, to: Path) -> list[Path]:
    """One adapter folder per task; the sum of all adapters is the run's update."""
    checkpoints = Checkpoints(run.folder / "checkpoints", run.record.run_id)
    modules: dict[str, str] = getattr(run.learner, "module_paths", lambda: {})()
    base = str(run.record.config["backbone"].get("model", run.record.config["backbone"]["name"]))
    folders = []
    for row, task in enumerate(run.record.tasks, start=1):
        tensors = checkpoints.merged(row)
        names = sorted({key.rpartition("/")[0] for key in tensors})
        factors = {name: Factors(tensors[f"{name}/a"], tensors[f"{name}/b"]) for name in names}
        if factors:
            folder = to / run.record.run_id / f"{row:02d}-{task}"
            write_peft_adapter(factors, modules, base, folder)
            folders.append(folder)
    if not folders:
        raise ConfigError(f"export: run {run.record.run_id} merged nothing task by task; use --format hf for its whole model.")
    return folders
