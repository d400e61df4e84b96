"""The tables name -> object. Objects are imported on first use, so that a list of names costs no import.

Outside packages add entries through the entry-point groups ``codyra_suite.methods``, ``codyra_suite.benchmarks``,
``codyra_suite.backbones`` and ``codyra_suite.spaces``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from suite.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Entry:
    """One row of a table: where the object lives (``module:attribute``) and one line for lists."""

    target: str
    summary: str


@dataclass(frozen=True)
class Registry:
    """A closed table of names; ``registry[name]`` imports and returns the object.

    Raises:
        ConfigError: for an unknown name, or when an outside package reuses a name of the suite.
    """

    kind: str
    group: str
    own: Mapping[str, Entry] = field(repr=False)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        table = dict(self.own)
        for point in entry_points(group=self.group):
            if point.name in table:
                raise ConfigError(f"{self.kind} '{point.name}' of package '{point.value}' is already taken; rename it.")
            table[point.name] = Entry(point.value, f"from {point.value}")
        return table

    def __getitem__(self, name: str) -> Any:
        if name not in self.entries:
            raise unknown_name(self.kind, name, self.entries)
        module, _, attribute = self.entries[name].target.partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


METHODS = Registry(
    "method",
    "codyra_suite.methods",
    {
        "codyra": Entry("trainables.codyra:CodyraConfig", "rank-weighted LoRA, gates pruned by a soft threshold"),
        "zero-shot": Entry("baselines.zero_shot:ZeroShotConfig", "the untouched backbone"),
        "finetune": Entry("baselines.finetune:FinetuneConfig", "sequential full fine-tuning, the lower bound of retention"),
        "joint": Entry("baselines.joint:JointConfig", "full fine-tuning on all tasks seen so far, the upper bound"),
        "lora": Entry("baselines.lora:LoraConfig", "fixed-rank LoRA, merged, carried or stacked between tasks"),
        "olora": Entry("baselines.olora:OLoraConfig", "orthogonal LoRA: new subspaces orthogonal to past ones"),
        "replay": Entry("baselines.replay:ReplayConfig", "fixed-rank LoRA with a replay memory"),
    },
)

BENCHMARKS = Registry(
    "benchmark",
    "codyra_suite.benchmarks",
    {
        "mini-mtil": Entry("suite.benchmarks.mini:MiniMtilConfig", "embedded image stream, label space of the task"),
        "mini-xtail": Entry("suite.benchmarks.mini:MiniXtailConfig", "embedded image stream, union of label spaces"),
        "image-folders": Entry(
            "suite.benchmarks.image_folders:ImageFoldersConfig", "your own <domain>/{train,test}/<class>/*.png|jpg"
        ),
        "mtil": Entry("suite.benchmarks.mtil:MtilConfig", "eleven image sets, classes of the task, full-shot"),
        "mtil-5shot": Entry("suite.benchmarks.mtil:Mtil5ShotConfig", "MTIL with 5 training images per class"),
        "mtil-16shot": Entry("suite.benchmarks.mtil:Mtil16ShotConfig", "MTIL with 16 training images per class"),
        "xtail": Entry("suite.benchmarks.xtail:XtailConfig", "ten image sets, union of 1100 classes, 16-shot"),
        "mini-trace": Entry("suite.benchmarks.mini_trace:MiniTraceConfig", "embedded eight-task text stream"),
        "trace": Entry("suite.benchmarks.trace:TraceConfig", "TRACE, eight text tasks, 5000-row release"),
        "trace-500": Entry("suite.benchmarks.trace:Trace500Config", "TRACE, eight text tasks, 500-row release"),
        "standard-cl": Entry("suite.benchmarks.standard_cl:StandardCLConfig", "dbpedia, amazon, yahoo, agnews"),
        "text-folders": Entry(
            "suite.benchmarks.text_folders:TextFoldersConfig", "your own <task>/{train,eval,test}.json"
        ),
    },
)

BACKBONES = Registry(
    "backbone",
    "codyra_suite.backbones",
    {
        "mini-clip": Entry("suite.backbones.clip:MiniClipConfig", "shipped CLIP of 0.6 million parameters"),
        "open-clip": Entry("suite.backbones.clip:OpenClipConfig", "any open_clip model by name and pretrained tag"),
        "mini-lm": Entry("suite.backbones.causal_lm:MiniLMConfig", "shipped Llama of under half a million parameters"),
        "causal-lm": Entry("suite.backbones.causal_lm:CausalLMConfig", "any transformers causal LM, hub id or folder"),
    },
)

SPACES = Registry(
    "search space",
    "codyra_suite.spaces",
    {
        "codyra": Entry("search_spaces.codyra:SPACE", "sparsity strength, schedule, rank and placement of CoDyRA"),
        "codyra-quick": Entry("search_spaces.codyra_quick:SPACE", "sparsity strength and placement only"),
        "codyra-steps": Entry("search_spaces.codyra_steps:SPACE", "the same with steps per task searched too"),
        "lora": Entry("search_spaces.lora:SPACE", "rank, scale, policy and placement of fixed-rank LoRA"),
        "olora": Entry("search_spaces.olora:SPACE", "penalty strength, rank and placement of orthogonal LoRA"),
        "probe": Entry("search_spaces.probe:SPACE", "placements x ranks of fixed-rank LoRA, a grid"),
        "replay": Entry("search_spaces.replay:SPACE", "memory size, weight and batch share of replay"),
    },
)
