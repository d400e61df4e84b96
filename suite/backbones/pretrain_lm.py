"""The shipped mini language model: how it was made. A Llama trained on the drawn tasks' texts under other questions.

``codyra-suite pretrain-mini`` runs it again. The frames of the stream occur with answers of other rows only, so that the
untouched model knows what kind of answer follows, and fine-tuning teaches which.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from suite.backbones.lm_network import MINI_LM
from suite.data.broad_text import broad_row, broad_text
from suite.data.drawn_text import FRAMES, STANCE_OBJECTS, STANCE_PEOPLE, STANCE_VERBS, draw_rows
from suite.data.text import TextEncoder, Tokenizer, TokenRow, left_padded
from suite.files import atomic_write
from suite.randomness import derived_seed, numpy_generator

STEPS, PEAK_LR, WARM_UP, SOLVED, TEXTS = 2200, 3e-3, 50, 40, 4  # rows per step: solved prompts, plain text
VOCABULARY = 720
_WORDS = re.compile(r"\n+| ?[A-Za-zÄÖÜäöüß]+| ?\d+| ?[^\w\s]| ?_")
_INSTRUCTIONS = tuple(frame.instruction for frame in FRAMES.values() if len(frame.instruction) > 8)
Progress = Callable[[int, int, float], None]


def architecture(vocabulary_size: int) -> dict[str, Any]:
    """Arguments of ``LlamaConfig``: 0.36 million parameters, 256 tokens."""
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def pretrain_mini_lm(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress | None = None) -> Path:
    """Train the mini language model from nothing and write ``out/mini_lm``; about five minutes on one free core."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("mini-lm", seed))
        network: Any = LlamaForCausalLM(LlamaConfig(**architecture(len(tokenizer))))
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LR, weight_decay=0.05, betas=(0.9, 0.98), fused=True)
    generator = numpy_generator("mini-lm rows", seed)
    encoder = TextEncoder(tokenizer, 192, 64)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        loss = _loss(network, _rows(encoder, generator), tokenizer.pad_token_id)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if progress and step % 20 == 19:
            progress(step + 1, steps, float(loss.detach()))
    folder = out / MINI_LM.name
    _write(network, tokenizer, folder, {"seed": seed, "steps": steps, "last_loss": round(float(loss.detach()), 4)})
    return folder


def _write(network: Any, tokenizer: Tokenizer, folder: Path, made_by: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items() if name != "lm_head.weight"}
    atomic_write(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
    network.config.architectures = [type(network).__name__]
    network.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    atomic_write(folder / "made_by.json", (json.dumps(made_by) + "\n").encode())


def build_tokenizer(seed: int = 0) -> Tokenizer:
    """Words of the drawn tasks, whole instructions and, for any other text, bytes; at most ``VOCABULARY`` pieces."""
    from tokenizers import Tokenizer as RawTokenizer
    from tokenizers import decoders, models
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [(piece, -1.0) for piece in _pieces(seed)[: VOCABULARY - len(pieces)]]
    raw = RawTokenizer(models.Unigram(pieces, 0, True))
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left",
        model_max_length=256, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _pieces(seed: int) -> list[str]:
    """Instructions as wholes, Chinese words, then words by how often drawn rows use them."""
    generator = numpy_generator("mini-lm pieces", seed)
    rows = [row for task in FRAMES for row in draw_rows(task, 200, generator)] + [broad_row(generator) for _ in range(4000)]
    counts = Counter(word for prompt, answer in rows for word in _words_of(prompt + answer))
    words = [*STANCE_OBJECTS, *STANCE_PEOPLE, *(verb for verbs in STANCE_VERBS.values() for verb in verbs)]
    stance = ["\n对象：\n", "\n态度：", "\n情感：", "\n谁：", "文本：\n"]
    return list(dict.fromkeys([*_INSTRUCTIONS, *stance, *words, *(word for word, _ in counts.most_common())]))


def _words_of(text: str) -> list[str]:
    for instruction in _INSTRUCTIONS:
        text = text.removeprefix(instruction)
    return _WORDS.findall(text)


def _rows(encoder: TextEncoder, generator: np.random.Generator) -> list[TokenRow]:
    solved = [broad_row(generator) for _ in range(SOLVED)]
    texts = encoder.prompt_rows([broad_text(generator) for _ in range(TEXTS)])
    rows = encoder.training_rows([prompt for prompt, _ in solved], [answer for _, answer in solved])
    return rows + [TokenRow(text.ids, len(text.ids)) for text in texts]


def _loss(network: Any, rows: list[TokenRow], pad: int) -> Tensor:
    batch = left_padded([row.ids for row in rows], pad)
    from_right = torch.arange(batch["input_ids"].shape[1], 0, -1)
    supervised = from_right <= torch.tensor([row.answer_tokens for row in rows])[:, None]
    supervised &= batch["position_ids"] > 0  # a row's first token has no predecessor that could predict it
    logits = network(**batch).logits[:, :-1][supervised[:, 1:]]
    return F.cross_entropy(logits, batch["input_ids"][supervised])
