"""Language models in one GGUF file (llama.cpp's format): found, checked before anything is loaded, loaded as plain weights.

transformers reads such files with the packages ``gguf`` and ``accelerate`` (the extra ``gguf``). Quantised weights are unpacked
into what they stand for; what quantisation lost is not given back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from suite.errors import ConfigError, library_reason

SUFFIX = ".gguf"
MAGIC = b"GGUF"
PACKAGES = ("gguf", "accelerate")
READER, READER_SINCE = "transformers.integrations.gguf.reader", "transformers 5.17 or newer"
NO_HUB = "make real-lm fetches one"


def gguf_file(model: str) -> Path | None:
    """The GGUF file that ``model`` names, or the one in the folder that it names; None for a hub id or a folder in transformers' layout.

    Raises:
        ConfigError: a folder with several and nothing else, or a file that is not there.
    """
    place = Path(model).expanduser()
    if place.suffix.lower() == SUFFIX and not place.is_dir():
        if not place.is_file():
            raise ConfigError(
                f"backbone.model: '{model}' is not there; name a GGUF file of a causal language model ({NO_HUB})."
            )
        return place
    if not place.is_dir() or any(place.glob("*.safetensors")):
        return None
    found = sorted(path for path in place.iterdir() if path.suffix.lower() == SUFFIX and path.is_file())
    if len(found) > 1:
        raise ConfigError(
            f"backbone.model: '{model}' holds {len(found)} GGUF files ({', '.join(path.name for path in found)}); name one: "
            f"--set backbone.model={found[0]}."
        )
    return found[0] if found else None


def require_readable(file: Path) -> None:
    """Refuse a file that is no GGUF file, whose weights are not all there, or that nothing installed reads.

    Raises:
        ConfigError: one sentence with what helps.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"backbone.model: '{file}' cannot be read ({error.strerror}); name another one ({NO_HUB}).") from None
    if beginning != MAGIC:
        raise ConfigError(
            f"backbone.model: '{file}' is no GGUF file (it does not begin with GGUF); name one of a causal language model "
            f"({NO_HUB})."
        )
    _require_packages(file)
    from transformers.integrations.gguf.reader import GgufHeader

    try:
        header = GgufHeader.from_file(str(file))
    except (struct.error, EOFError, IndexError):
        raise ConfigError(
            f"backbone.model: '{file}' ends in the middle of its header; it is damaged or truncated, fetch it again ({NO_HUB})."
        ) from None
    except Exception as error:  # files from elsewhere make the libraries that read them raise anything
        raise ConfigError(
            f"backbone.model: '{file}' cannot be read ({library_reason(error)}); it is damaged or truncated, fetch it again "
            f"({NO_HUB})."
        ) from None
    if not header.tensors:
        raise ConfigError(
            f"backbone.model: '{file}' holds no weights (its architecture is '{header.architecture}'); name a GGUF file of a whole "
            f"causal language model ({NO_HUB})."
        )
    size, end = file.stat().st_size, max(header.data_start + tensor.offset + tensor.nbytes for tensor in header.tensors)
    if end > size:
        raise ConfigError(
            f"backbone.model: '{file}' is truncated ({size:,} of at least {end:,} bytes are there); fetch it again ({NO_HUB})."
        )


def _require_packages(file: Path) -> None:
    absent = [name for name in PACKAGES if find_spec(name) is None]
    absent += [] if _finds(READER) else [READER_SINCE]
    if absent:
        raise ConfigError(
            f"backbone.model: '{file}' needs {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed; "
            "install what reads GGUF files with pip install 'codyra-suite[gguf]'."
        )


def _finds(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package that would hold it
        return False


def gguf_config(file: Path) -> Any:
    """The config of the model in ``file``.

    Raises:
        ConfigError: it is no causal language model, or of a class that transformers does not read from GGUF files.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig
    from transformers.integrations.gguf.reader import GgufHeader

    remedy = f"name a file of a causal language model, such as a Llama ({NO_HUB})"
    kind = GgufHeader.from_file(str(file)).architecture
    try:
        config = AutoConfig.from_pretrained(
            str(file.parent), gguf_file=file.name, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise ConfigError(
            f"backbone.model: '{file}' holds a model of the architecture '{kind}', which transformers does not read "
            f"({library_reason(error)}); {remedy}."
        ) from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(
            f"backbone.model: '{file}' holds a model of the architecture '{kind}', which is no causal language model; {remedy}."
        )
    named: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    config.architectures = [named.__name__]  # what an exported folder says
    return config


@contextmanager
def unpacking() -> Iterator[Mapping[str, Any]]:
    """Options of ``from_pretrained`` that give a plain network; what is shown of the tensors' progress meanwhile is not let through."""
    from transformers import GgufConfig

    with redirect_stderr(StringIO()):
        yield {"quantization_config": GgufConfig(dequantize=True)}
