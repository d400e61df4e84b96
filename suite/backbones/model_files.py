"""What a language model of transformers is loaded from, as part of a run's identity."""

from __future__ import annotations

from pathlib import Path

from suite.backbones.lm_gguf import gguf_file
from suite.hashing import file_hash, files_hash

LOADED = (".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken")  # weights, config, tokenizer


def model_content(model: str) -> str:
    """Hash over a GGUF file or the files in a local folder, wherever it lies and however it is spelled; a hub id with its revision.

    A revision is the one in the cache, else the hub's own, of which the config alone is fetched; without either the hub id.
    """
    if (file := gguf_file(model)) is not None:
        return file_hash(file)
    folder = Path(model).expanduser()
    if folder.is_dir():
        found = (path for path in folder.iterdir() if path.suffix in LOADED and not path.name.startswith("."))
        return files_hash((path for path in found if path.is_file()), folder)
    revision = _revision(model)
    return model if revision is None else f"{model}@{revision}"


def _revision(model: str) -> str | None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, "config.json")
        # a file of the cache lies in snapshots/<revision>/
        return Path(cached if isinstance(cached, str) else hf_hub_download(model, "config.json")).parent.name
    except (OSError, ValueError):  # not there or not reachable, which loading the model says in a sentence
        return None
