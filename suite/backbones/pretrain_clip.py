"""The shipped mini CLIP: how it was pretrained, and how it is loaded.

open_clip's own class with a small config, trained by ``codyra-suite pretrain-mini`` as CLIP is: on images of every style that tasks
have, with captions as loose as those of the web (``suite/backbones/mini_captions.py``). So its features hold more than its reading
of the class names, which is what zero-shot accuracy stands on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from suite.backbones.mini_captions import Captions
from suite.backbones.mini_tokenizer import MiniTokenizer
from suite.backbones.pixels import MEAN, STD
from suite.data.drawn_images import DOMAINS, draw_domain
from suite.errors import DataError
from suite.files import atomic_write
from suite.randomness import derived_seed

WEIGHTS = Path(__file__).parent / "weights"
NAME = "mini_clip"
CONTEXT = 40
PER_CLASS, BATCH, PEAK_LR, WARM_UP, STEPS = 120, 96, 2e-3, 50, 2400
LARGEST_SCALE = math.log(100.0)

Progress = Callable[[int, int, float], None]


def architecture(vocabulary_size: int) -> dict[str, Any]:
    """Arguments of ``open_clip.CLIP``: 0.6 million parameters, 32 x 32 images in 16 patches."""
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 96, "layers": 3, "head_width": 32, "mlp_ratio": 4.0},
        "text_cfg": {"context_length": CONTEXT, "vocab_size": vocabulary_size, "width": 96, "heads": 3, "layers": 2},
    }


def load_mini_clip(folder: Path = WEIGHTS) -> tuple[nn.Module, MiniTokenizer]:
    """Network and tokenizer from ``mini_clip.json`` and ``mini_clip.safetensors`` in ``folder``.

    Raises:
        DataError: files missing, or weights that are not the ones the JSON names.
    """
    import open_clip

    try:
        facts = json.loads((folder / f"{NAME}.json").read_text())
        data = (folder / f"{NAME}.safetensors").read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: is missing; reinstall the suite or run 'codyra-suite pretrain-mini'.") from None
    if hashlib.sha256(data).hexdigest() != facts["sha256"]:
        raise DataError(f"{folder / NAME}.safetensors: is damaged (wrong checksum); reinstall the suite.")
    network = open_clip.CLIP(**facts["architecture"])
    network.load_state_dict(load_file(folder / f"{NAME}.safetensors"), strict=True)
    return network, MiniTokenizer(facts["vocabulary"], CONTEXT)


def pretrain_mini_clip(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress | None = None) -> Path:
    """Train the mini CLIP from nothing and write both files into ``out``; about five minutes on one core.

    Contrast of the images of a batch with the captions of the batch, equal ones counted once.
    """
    import open_clip

    images, labels = _training_set(seed)
    captions = Captions(labels, CONTEXT, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("mini-clip", seed))
        network = open_clip.CLIP(**architecture(captions.tokenizer.end + 1))
    network.logit_scale.data.fill_(math.log(20.0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LR, weight_decay=0.1, betas=(0.9, 0.98), fused=True)
    generator = torch.Generator().manual_seed(derived_seed("mini-clip batches", seed))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(images), (BATCH,), generator=generator)
        loss = _contrast(network, images[rows], *captions.of(rows, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.logit_scale.data.clamp_(max=LARGEST_SCALE)
        if progress and step % 20 == 19:
            progress(step + 1, steps, float(loss.detach()))
    return _write(network, captions.tokenizer, out, seed, steps)


def _training_set(seed: int) -> tuple[Tensor, list[int]]:
    """Images of all domains and their classes, counted over all domains."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    classes = 0
    for domain in DOMAINS:
        drawn = draw_domain(domain, "pretrain", PER_CLASS, seed)
        images.append(drawn.images)
        labels += (drawn.labels + classes).tolist()
        classes += len(drawn.class_names)
    return torch.from_numpy(np.concatenate(images)), labels


def _contrast(network: Any, images: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    pictures = F.normalize(network.encode_image((images.float() / 255 - mean) / std), dim=-1)
    return F.cross_entropy(network.logit_scale.exp() * pictures @ _texts(network, tokens).T, targets)


def _texts(network: Any, tokens: Tensor) -> Tensor:
    """open_clip's ``encode_text`` for rows that are shorter than the context."""
    length = tokens.shape[1]
    x = network.token_embedding(tokens) + network.positional_embedding[:length]
    x = network.transformer(x, attn_mask=network.attn_mask[:length, :length])
    pooled = network.ln_final(x[torch.arange(len(x)), tokens.argmax(dim=1)]) @ network.text_projection
    return F.normalize(pooled, dim=-1)


def _write(network: nn.Module, tokenizer: MiniTokenizer, out: Path, seed: int, steps: int) -> Path:
    data = save({key: value.detach().contiguous() for key, value in network.state_dict().items()})
    facts = {
        "architecture": architecture(tokenizer.end + 1),
        "vocabulary": dict(tokenizer.vocabulary),
        "made_by": f"codyra-suite pretrain-mini --which clip --seed {seed}",
        "steps": steps,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    atomic_write(out / f"{NAME}.safetensors", data)
    atomic_write(out / f"{NAME}.json", (json.dumps(facts, indent=1) + "\n").encode())
    return out / f"{NAME}.safetensors"
