"""Language models in one GGUF file: the stock model's numbers, identity by content, and every bad file in one sentence."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig
from suite.backbones.lm_network import causal_lm_shape, load_causal_lm, unpack
from suite.backbones.model_files import model_content
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.stream import Stream
from suite.errors import ConfigError

gguf = pytest.importorskip("gguf", reason="the extra gguf is not installed")
pytest.importorskip("accelerate", reason="the extra gguf is not installed")

WIDTH, HEADS, KEYS, LAYERS, INNER, VOCABULARY = 32, 4, 2, 2, 64, 261
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokens() -> list[str]:
    """Special tokens, GPT-2's 256 printable stand-ins for bytes, and two that are merged from them."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *bytes_to_unicode().values(), "th", "in"]


@pytest.fixture(scope="module")
def stock() -> Any:
    """A random Llama as transformers makes it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS},
        **{"num_attention_heads": HEADS, "num_key_value_heads": KEYS, "max_position_embeddings": 512, "rms_norm_eps": 1e-5},
        **{"tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def turned(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order of llama.cpp's rotary embedding."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_model(path: Path, network: Any, architecture: str = "llama", template: str | None = TEMPLATE) -> Path:
    """``network`` as llama.cpp's converter writes it."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(byte_tokens())
    writer.add_token_types([3, 3, 3, *[1] * (VOCABULARY - 3)])
    writer.add_token_merges(["t h", "i n"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", state["model.norm.weight"])
    for layer in range(LAYERS):
        for ours, theirs in names.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KEYS}.get(theirs)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", turned(weight, heads) if heads else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, stock: Any) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.gguf", stock)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return MiniTraceConfig(tasks=("NumGLUE-ds",)).build(Path()).limited(4)


def learner_of(model: Path, stream: Stream, **fields: Any) -> CausalLearner:
    config = CausalLMConfig(model=str(model), max_prompt_tokens=300, max_answer_tokens=16, **fields)
    config.check(stream)
    built = config.build(stream, torch.device("cpu"))
    assert isinstance(built, CausalLearner)
    return built


def test_a_file_gives_the_stock_models_weights_and_answers(file: Path, stock: Any, stream: Stream, capfd: Any) -> None:
    learner = learner_of(file.parent, stream)
    assert capfd.readouterr().err == ""
    assert type(learner.network) is type(stock) and learner.network.config.architectures == ["LlamaForCausalLM"]
    ours = learner.network.state_dict()
    assert ours.keys() == stock.state_dict().keys()
    assert all(torch.equal(ours[name], value) for name, value in stock.state_dict().items())
    assert learner.end == frozenset({2}) and learner.pad == 2
    rows = learner.texts.prompts(0, "test")
    fast = learner.answers([row.ids for row in rows], [6] * len(rows))
    for row, answer in zip(rows, fast, strict=True):
        ids = torch.from_numpy(row.ids)[None]
        whole = stock.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        found = whole[0, ids.shape[1] :].tolist()
        assert answer == found[: found.index(2)] if 2 in found else answer == found


def test_an_unpacked_folder_is_the_same_model(file: Path, tmp_path: Path) -> None:
    unpack(str(file), str(tmp_path))
    first, second = (load_causal_lm(str(place)) for place in (file, tmp_path))
    assert all(torch.equal(value, second[0].state_dict()[name]) for name, value in first[0].state_dict().items())
    text = "Solve this: 12 + 7 = ?"
    assert first[1](text)["input_ids"] == second[1](text)["input_ids"]
    assert first[1].chat_template == second[1].chat_template == TEMPLATE


def test_identity_is_the_files_content(file: Path, stock: Any, tmp_path: Path) -> None:
    renamed = tmp_path / "copy" / "other.GGUF"
    renamed.parent.mkdir()
    shutil.copy(file, renamed)
    (renamed.parent / "README.md").write_text("about it")
    assert model_content(str(renamed.parent)) == model_content(str(renamed)) == model_content(str(file))
    another = write_model(tmp_path / "another.gguf", stock, template=None)
    assert model_content(str(another)) != model_content(str(file))


def test_the_template_is_read_where_it_is_asked_for(file: Path, stream: Stream) -> None:
    plain, chat = (learner_of(file, stream, chat_template=on) for on in (False, True))
    prompt = stream.tasks[0].test.prompts[0]  # type: ignore[union-attr]
    framed = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    decode = chat.tokenizer.decode
    assert decode(plain.texts.prompts(0, "test")[0].ids) == f"<|im_start|>{prompt}"
    assert decode(chat.texts.prompts(0, "test")[0].ids) == framed
    row = chat.texts.training(0)[0]
    answer = stream.tasks[0].train.answers[0]  # type: ignore[union-attr]
    assert decode(row.ids[-row.answer_tokens :]) == f"{answer}<|im_end|>"
    assert plain.config.identity() != chat.config.identity()
    assert "chat_template" not in plain.config.model_dump() and chat.config.model_dump()["chat_template"] is True


def two_files(folder: Path, file: Path) -> Path:
    for name in ("q4.gguf", "q8.gguf"):
        shutil.copy(file, folder / name)
    return folder


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def linked(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


def without_weights(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


BAD: dict[str, tuple[Callable[[Path, Path, Any], Path], str]] = {
    "no such file": (lambda folder, file, stock: folder / "none.gguf", "is not there"),
    "another file": (lambda folder, file, stock: written(folder / "a.gguf", b"PK\x03\x04" * 99), "is no GGUF file"),
    "an empty file": (lambda folder, file, stock: written(folder / "a.gguf", b""), "is no GGUF file"),
    "one that cannot be read": (lambda folder, file, stock: linked(folder / "a.gguf", "/proc/self/mem"), "cannot be read"),
    "a cut head": (lambda folder, file, stock: written(folder / "a.gguf", file.read_bytes()[:900]), "damaged or truncated"),
    "cut weights": (lambda folder, file, stock: written(folder / "a.gguf", file.read_bytes()[:-900]), "is truncated"),
    "no weights": (lambda folder, file, stock: without_weights(folder / "a.gguf"), r"holds no weights \(its architecture is 'llama'\)"),
    "a picture model": (lambda folder, file, stock: write_model(folder / "a.gguf", stock, "clip"), "architecture 'clip'"),
    "an encoder": (lambda folder, file, stock: write_model(folder / "a.gguf", stock, "t5encoder"), "architecture 't5encoder'"),
    "two files": (lambda folder, file, stock: two_files(folder, file), r"holds 2 GGUF files \(q4.gguf, q8.gguf\).*--set backbone.model="),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence_before_anything_is_trained(case: str, file: Path, stock: Any, tmp_path: Path) -> None:
    make, said = BAD[case]
    model = str(make(tmp_path, file, stock))
    with pytest.raises(ConfigError, match=said) as caught:
        causal_lm_shape(model)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.count(". ") == 0
    assert "make real-lm" in sentence or "--set" in sentence


def test_a_missing_extra_is_named_with_what_installs_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is None in ``sys.modules`` is one that cannot be imported."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"needs gguf, which is not installed; .*pip install 'codyra-suite\[gguf\]'"):
        load_causal_lm(str(file))


def test_a_template_that_is_not_there_is_refused(stock: Any, stream: Stream, tmp_path: Path) -> None:
    bare = write_model(tmp_path / "bare.gguf", stock, template=None)
    with pytest.raises(ConfigError, match="has no chat template; leave it out"):
        CausalLMConfig(model=str(bare), chat_template=True).check(stream)
    deaf = write_model(tmp_path / "deaf.gguf", stock, template="Hello.")
    with pytest.raises(ConfigError, match="leaves a user's message out"):
        CausalLMConfig(model=str(deaf), chat_template=True).check(stream)
    loud = write_model(tmp_path / "loud.gguf", stock, template="{{ raise_exception('only systems speak') }}")
    with pytest.raises(ConfigError, match="cannot lay out a user's message"):
        CausalLMConfig(model=str(loud), chat_template=True).check(stream)
