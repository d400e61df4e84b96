"""A causal language model behind the learner interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from suite.backbones.answer_loss import answer_loss
from suite.backbones.answer_window import before_answers, taken
from suite.backbones.generation import Decoding, generate, stock_answers
from suite.backbones.learner import (
    Answer,
    Batch,
    BeforeForward,
    OnSites,
    Outcomes,
    Output,
    ReferenceData,
    freeze,
    no_choice,
    own_logits,
    place_slots,
)
from suite.backbones.lm_config import LanguageModelConfig, no_references
from suite.backbones.lm_network import AnswerHead, checkpoint_layers, raise_to_fp32, windows
from suite.backbones.lm_shards import Shards
from suite.backbones.special_tokens import end_tokens, pad_token, require_prompts, require_template, require_tokens
from suite.backbones.text_shapes import TextShapes
from suite.backbones.text_store import TextStore
from suite.backbones.token_sites import NAMES, in_front, prompt_mask
from suite.backbones.transfer import send
from suite.backbones.without_classes import WithoutClasses
from suite.benchmarks.stream import Stream
from suite.benchmarks.text_scores import score
from suite.data.examples import Split
from suite.data.references import References
from suite.data.text import IGNORED, Ids, TextEncoder, Tokenizer, TokenRow, decode_answers, training_batch
from suite.errors import ConfigError
from suite.lowrank.decoder import adapt_decoder, language_tower, module_paths
from suite.lowrank.effective_weights import EffectiveWeights
from suite.lowrank.frozen_map import compute_plainly
from suite.lowrank.layer import Site, Slot, slots_of
from suite.lowrank.placement import Placement
from suite.lowrank.statistics import second_moments

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


class CausalLearner(OnSites, WithoutClasses):
    """Answer tokens are learned, answers are generated and scored; see ``Learner``. Over a ``mesh`` of workers lie its decoder blocks."""

    kind: Literal["lm"] = "lm"

    def __init__(
        self,
        config: LanguageModelConfig,
        stream: Stream,
        device: torch.device,
        network: Any,
        tokenizer: Tokenizer,
        mesh: DeviceMesh | None = None,
    ) -> None:
        self.scoring = require_prompts(stream, config.name)
        require_tokens(tokenizer, network, stream, config.name)
        require_template(tokenizer, config)
        self.config = config
        self.stream = stream
        self.device = device
        self.tokenizer = tokenizer
        self.network = (network.to(device) if mesh is None else network).eval()
        self.tokens = Site(NAMES["lm"])
        self.sites: dict[str, Site] = {self.tokens.name: self.tokens, **adapt_decoder(self.network)}
        self.slots = slots_of(self.sites)
        self.tower = language_tower(self.network)
        self._weights = EffectiveWeights(self.tower)
        self.head = AnswerHead(self.network)
        freeze(self.network)
        self.shards = None if mesh is None else Shards(self.network, self.sites, mesh)
        self.network.to(device)
        if config.gradient_checkpointing:
            checkpoint_layers(self.network)
        self.end = end_tokens(network, tokenizer)
        self.pad, self._pad_source = pad_token(tokenizer, network)
        self._room, self._shown = 0, dict.fromkeys(range(len(stream)), config.demonstrations)
        self._lay_out()
        self.current: int | None = None
        self.label_smoothing = 0.0
        self.before_forward: BeforeForward = no_choice
        self.answer: Answer = own_logits
        self.references: ReferenceData | None = None
        self._plain = False
        self._tokens_laid_out = self._tokens_kept = 0
        # A GPU records a step for every shape it meets: few shapes there, no padding elsewhere.
        self.shapes = TextShapes(lambda task: self.texts.training(task)) if device.type == "cuda" else None

    @property
    def plain(self) -> bool:
        """The reference for comparisons: logits of every token, branch by branch, answers one by one by the stock ``generate``."""
        return self._plain

    @plain.setter
    def plain(self, plain: bool) -> None:
        self._plain = plain
        compute_plainly(self.network, plain)

    def place(self, placement: Placement) -> list[Slot]:
        here = {name.split(".")[2] for name in self.slots}
        missing = [weight for weight in placement.weights if weight not in here]
        if missing:
            raise ConfigError(
                f"placement '{placement}' asks for {', '.join(missing)}, which {type(self.network).__name__} does not "
                f"have or this suite does not find there; it has {', '.join(sorted(here))}."
            )
        chosen = place_slots(self.slots, placement)
        raise_to_fp32(self.network, chosen)
        return chosen

    def use_references(self, found: References) -> None:
        raise no_references(self.config.name)

    def make_room(self, count: int) -> None:
        if count != self._room:
            self._room = count
            self._lay_out()

    def demonstrate(self, count: int, tasks: Iterable[int]) -> None:
        """From now on put ``count`` solved training rows in front of every prompt of ``tasks`` that is to be answered."""
        self._shown |= dict.fromkeys(tasks, count)
        self._lay_out()

    def _lay_out(self) -> None:
        prompts, answers = windows(self.network, self.config.max_prompt_tokens, self.config.max_answer_tokens, self._room)
        encoder = TextEncoder(self.tokenizer, prompts, answers, self.config.label_boundary, self.config.chat_template)
        self.texts = TextStore(self.stream, encoder, self._shown, self.end)

    @property
    def query_width(self) -> int:
        return int(self.network.get_input_embeddings().weight.shape[1])

    @torch.no_grad()
    def query(self, inputs: Mapping[str, Tensor], layers: int | None = None) -> Tensor:
        counted = prompt_mask(inputs)[:, :, None]
        states = self._states(inputs, layers).float() * counted
        return states.sum(dim=1) / counted.sum(dim=1)

    def _states(self, inputs: Mapping[str, Tensor], layers: int | None) -> Tensor:
        """(n, tokens, width): embeddings of the tokens, or their states after the first ``layers`` layers."""
        if not layers:
            embedded: Tensor = self.network.get_input_embeddings()(inputs["input_ids"])
            return embedded
        read = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
        with self._storage_autocast():
            found = self.network(**read, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        states: Tensor = found.hidden_states[layers]
        return states

    def begin_task(self, index: int) -> None:
        self.current = index
        self._tokens_laid_out = self._tokens_kept = 0

    def lengths(self, task: int) -> NDArray[np.int64] | None:
        return np.array([len(row.ids) for row in self.texts.training(task)], dtype=np.int64)

    def batch(
        self,
        tasks: Tensor,
        rows: Tensor,
        generator: torch.Generator,
        label_space: Literal["own", "seen"] = "own",
        pool: Tensor | None = None,
    ) -> Batch:
        examples = [self.texts.training(task)[row] for task, row in zip(tasks.tolist(), rows.tolist(), strict=True)]
        shape = self.shapes.of(torch.stack([tasks, rows], dim=1) if pool is None else pool) if self.shapes else (1, 1)
        batch = Batch(tasks, rows, self._laid_out(examples, shape), label_space)
        self._tokens_laid_out += batch.inputs["input_ids"].numel()
        self._tokens_kept += sum(len(example.ids) for example in examples)
        return batch

    def batches(self, task: int, split: Split, size: int) -> Iterator[Batch]:
        examples = self.texts.supervised(task, split)
        for rows in torch.arange(len(examples)).split(size):
            yield Batch(torch.full_like(rows, task), rows, self._laid_out([examples[row] for row in rows.tolist()]))

    def _laid_out(self, examples: Sequence[TokenRow], least: tuple[int, int] = (1, 1)) -> dict[str, Tensor]:
        """Examples side by side, at the ``least`` so many tokens and so wide a window of answers."""
        inputs = training_batch(examples, self.pad, multiple=self.config.pad_multiple, least=least)
        return {name: send(value, self.device) for name, value in inputs.items()}

    def signature(self, batch: Batch) -> tuple[object, ...]:
        """Equal for batches whose forward passes run the same kernels: rows, tokens, answer window."""
        return tuple(batch.inputs["input_ids"].shape), batch.inputs["answer_ids"].shape[1]

    def forward(self, batch: Batch) -> Output:
        if not self.tower.training:
            self.tower.train()  # dropout of branches and gradient checkpointing; the backbone itself has no dropout
        asked = self.before_forward(batch.inputs, training=True)
        return replace(self._forward(dict(batch.inputs)), asked=asked)

    def _forward(self, inputs: dict[str, Tensor]) -> Output:
        answers, self._seen = inputs["answer_ids"], inputs["attention_mask"]
        if self.plain:
            return self._forward_plainly(inputs)
        row = in_front(self.network, self.tokens, inputs["input_ids"])
        apart = self.label_smoothing == 0 and self.head.can_do_apart(answers.numel())
        head = self.head.window(self._seen, answers.shape[1], apart=apart)
        with self._storage_autocast(), self._small_weights(), head as hidden:
            # Without a mask the network is plainly causal, and padding stands behind a row's own tokens.
            logits = self.network(**row, use_cache=False).logits  # (n, window, vocabulary), empty if apart
            if apart:
                loss = answer_loss(hidden[0].flatten(0, 1), self.head.weight, answers.flatten())
                return Output(loss, lambda: hidden[0] @ self.head.weight.T, lambda: before_answers(hidden[0], answers))
        return Output(self._answer_loss(logits, answers), lambda: logits, lambda: before_answers(hidden[0], answers))

    def _small_weights(self) -> AbstractContextManager[None]:
        """Checkpointed layers run twice, the second time outside of the forward pass, and must do the same both times."""
        return nullcontext() if self.config.gradient_checkpointing else self._weights.made()

    def _answer_loss(self, logits: Tensor, answers: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.flatten(0, 1).float(), answers.flatten(), ignore_index=IGNORED, label_smoothing=self.label_smoothing
        )

    def _forward_plainly(self, inputs: dict[str, Tensor]) -> Output:
        """All logits, and a mask that hides the padding."""
        answers, mask = inputs["answer_ids"], inputs["attention_mask"]
        row = in_front(self.network, self.tokens, inputs["input_ids"])
        put = next(iter(row.values())).shape[1] - mask.shape[1]
        with self._storage_autocast():
            found = self.network(
                **row, attention_mask=F.pad(mask, (put, 0), value=1), use_cache=False, output_hidden_states=True
            )
        logits, hidden = (taken(states, mask, answers.shape[1]) for states in (found.logits, found.hidden_states[-1]))
        return Output(self._answer_loss(logits, answers), lambda: logits, lambda: before_answers(hidden, answers))

    @torch.no_grad()
    def moments(self, batches: Iterable[Batch], slots: Sequence[Slot]) -> dict[str, Tensor]:
        with second_moments(self.network, slots, lambda: self._seen.bool()) as found:
            for batch in batches:
                self.forward(batch)
        return found

    def distil_logits(self, batch: Batch, output: Output) -> Tensor:
        return output.logits[batch.inputs["answer_ids"] != IGNORED]

    def evaluate(self, split: Split, tasks: Sequence[int]) -> list[Outcomes]:
        prompts = [row.ids for task in tasks for row in self.texts.prompts(task, split)]
        limits = [self.texts.limit(task) for task in tasks for _ in self.texts.prompts(task, split)]
        answers = iter(decode_answers(self.tokenizer, self.answers(prompts, limits)))
        return [self._outcomes(task, split, answers) for task in tasks]

    @torch.no_grad()
    def answers(self, prompts: Sequence[Ids], limits: Sequence[int]) -> list[list[int]]:
        """Generated ids of each prompt, at most so many, without the end token.

        All workers that the network lies over have to ask together, each for prompts of its own or none.
        """
        self.network.eval()
        with self._storage_autocast(), self._merged(), self.shards.in_step() if self.shards else nullcontext():
            if self.plain:
                return self._stock_answers(prompts, limits)
            return generate(self.network, prompts, limits, self.decoding(), self.device, self.before_forward, self.tokens)

    def _merged(self) -> AbstractContextManager[None]:
        """Every token passes every map once; a method that chooses parts before each pass may switch them meanwhile."""
        if self.plain or self.before_forward is not no_choice:
            return nullcontext()
        return self._weights.merged(self.shards.least) if self.shards else self._weights.merged()

    def _stock_answers(self, prompts: Sequence[Ids], limits: Sequence[int]) -> list[list[int]]:
        found: list[list[int]] = []
        for prompt, limit in zip(prompts, limits, strict=True):
            ids = torch.from_numpy(prompt)[None].to(self.device)
            whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "example": ids.new_tensor([len(found)])}
            self.before_forward(whole, training=False)
            found += stock_answers(self.network, [prompt], limit, self.decoding(), self.device, self.tokens)
        return found

    def _outcomes(self, task: int, split: Split, answers: Iterator[str]) -> Outcomes:
        """Scores of one task; takes as many of ``answers`` as its split has rows."""
        examples = self.texts.examples(task, split)
        texts = tuple(next(answers) for _ in examples.prompts)
        metric = self.texts.tasks[task].metric
        rows = zip(texts, examples.answers, examples.prompts, strict=True)
        scores = [score(metric, self.scoring, text, target, prompt) for text, target, prompt in rows]
        return Outcomes(np.array(scores, dtype=np.float32), texts)

    def decoding(self) -> Decoding:
        """How answers of this learner are generated."""
        config = self.config
        return Decoding(self.end, self.pad, config.generation_tokens, config.temperature, config.sampling_seed)

    def module_paths(self) -> dict[str, str]:
        """Slot name -> module of the stock model, for adapters in other software's form."""
        return module_paths(self.network)

    def save_config(self, folder: Path) -> list[Path]:
        """What ``AutoModelForCausalLM`` and ``AutoTokenizer`` need in a folder beside the weights."""
        before = set(folder.iterdir())
        self.network.config.save_pretrained(folder)
        self.network.generation_config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return sorted(set(folder.iterdir()) - before)

    def facts(self) -> dict[str, Any]:
        if self.current is None:
            return {}
        padding = 1 - self._tokens_kept / self._tokens_laid_out if self._tokens_laid_out else 0.0
        return {
            **self.texts.facts(self.current),
            "padding_share": round(padding, 4),
            "pad_token": self._pad_source,
            **({"sharded_over": self.shards.workers} if self.shards else {}),
        }

    def _storage_autocast(self) -> AbstractContextManager[Any]:
        """bf16 weights beside fp32 adapted ones need autocast; fp32 weights leave the choice to the caller."""
        return nullcontext() if self.config.dtype == "fp32" else torch.autocast(self.device.type, torch.bfloat16)
