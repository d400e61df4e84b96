"""The tables name -> object. Objects are imported on first use, so that a list of names costs no import.

Outside packages add entries without touching this repository, through the entry-point groups ``codyra_suite.methods``,
``codyra_suite.benchmarks``, ``codyra_suite.backbones``, ``codyra_suite.spaces`` and ``codyra_suite.trackers`` (whose table is
``suite.tracking.trackers``). An entry that cannot be used is refused with its package and the reason when somebody asks for it, and
stands in nobody else's way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from suite.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from suite.parts import BackboneConfig, BenchmarkConfig, MethodConfig
    from suite.tuning.space import Space

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        target: where the object lives, ``module:attribute``.
        summary: one line for lists.
        package: name and version of the outside package that added the row; None for the suite's own.
    """

    target: str
    summary: str
    package: tuple[str, str] | None = None

    @property
    def owner(self) -> str:
        return "the suite" if self.package is None else f"package '{' '.join(self.package)}'"


@dataclass(frozen=True)
class Registry(Generic[T]):
    """A closed table of names; ``registry[name]`` imports, checks and returns the object.

    Attributes:
        base: the class, as ``module:attribute``, that an object is an instance of, or with ``of_classes`` a subclass of.
    """

    kind: str
    group: str
    base: str
    own: Mapping[str, Entry] = field(repr=False)
    of_classes: bool = True

    @cached_property
    def _found(self) -> tuple[dict[str, Entry], dict[str, str]]:
        """Usable rows, and for names that outside packages take in vain the sentence that says so."""
        added: dict[str, list[Entry]] = {}
        for point in entry_points(group=self.group):
            added.setdefault(point.name, []).append(_outside(point))
        table, refused = dict(self.own), {}
        for name, rows in added.items():
            if name not in self.own and len(rows) == 1:
                table[name] = rows[0]
                continue
            owners = [row.owner for row in ([self.own[name]] if name in self.own else []) + rows]
            refused[name] = f"{self.kind} '{name}' is added by {' and by '.join(owners)}; rename it in one, or uninstall one."
        return table, refused

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._found[0]

    @property
    def refused(self) -> Mapping[str, str]:
        """Name -> why a row of an outside package is not in the table; of a name that the suite has, the suite's row is."""
        return self._found[1]

    def __getitem__(self, name: str) -> T:
        return self.find(name)

    def find(self, name: str, *, where: str = "") -> T:
        """The object of ``name``; ``where`` is the field of a config that asks for it.

        Raises:
            ConfigError: no such name, or an outside package's that several have, that cannot be imported or is of another kind.
        """
        if name not in self.entries:
            if name in self.refused:
                raise ConfigError(self.refused[name])
            raise unknown_name(self.kind, name, self.entries, where=where)
        entry = self.entries[name]
        if entry.package is None:
            return _imported(entry.target)  # type: ignore[no-any-return]
        about = f"{self.kind} '{name}' of {entry.owner}"
        try:
            found = _imported(entry.target)
        except Exception as error:  # whatever a stranger's module does when it is imported
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ConfigError(f"{about}: '{entry.target}' cannot be imported ({reason}); correct or uninstall the package.") from error
        base = _imported(self.base)
        if not (isclass(found) and issubclass(found, base) if self.of_classes else isinstance(found, base)):
            expected = f"a class derived from {base.__name__}" if self.of_classes else f"a {base.__name__}"
            raise ConfigError(f"{about}: '{entry.target}' is not {expected}; correct or uninstall the package.")
        return found  # type: ignore[no-any-return]

    def usable(self) -> tuple[list[str], list[str]]:
        """Names whose object can be had, and the sentence that says why for every other row of an outside package."""
        names, reasons = [], list(self.refused.values())
        for name, entry in self.entries.items():
            try:
                if entry.package is not None:
                    self.find(name)
                names.append(name)
            except ConfigError as error:
                reasons.append(str(error))
        return names, reasons

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


def _outside(point: EntryPoint) -> Entry:
    package = ("unknown", "") if point.dist is None else (point.dist.name, point.dist.version)
    return Entry(point.value, f"from {point.value}", package)


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


METHODS: Registry[type[MethodConfig]] = Registry(
    "method",
    "codyra_suite.methods",
    "suite.parts:MethodConfig",
    {
        "codyra": Entry("trainables.codyra:CodyraConfig", "rank-weighted LoRA, gates pruned by a soft threshold"),
        "zero-shot": Entry("baselines.zero_shot:ZeroShotConfig", "the untouched backbone"),
        "finetune": Entry("baselines.finetune:FinetuneConfig", "sequential full fine-tuning, the lower bound of retention"),
        "joint": Entry("baselines.joint:JointConfig", "full fine-tuning on all tasks seen so far, the upper bound"),
        "inflora": Entry("baselines.inflora:InfLoraConfig", "LoRA outside the inputs of earlier tasks, one factor frozen"),
        "loda": Entry("baselines.loda:LodaConfig", "one branch on shared directions, one on those of the new task alone"),
        "lora": Entry("baselines.lora:LoraConfig", "fixed-rank LoRA, merged, carried or stacked between tasks"),
        "olora": Entry("baselines.olora:OLoraConfig", "orthogonal LoRA: new subspaces orthogonal to past ones"),
        "replay": Entry("baselines.replay:ReplayConfig", "fixed-rank LoRA with a replay memory"),
        "sdlora": Entry("baselines.sdlora:SdLoraConfig", "directions of all tasks kept, their magnitudes learned on"),
    },
)

BENCHMARKS: Registry[type[BenchmarkConfig]] = Registry(
    "benchmark",
    "codyra_suite.benchmarks",
    "suite.parts:BenchmarkConfig",
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

BACKBONES: Registry[type[BackboneConfig]] = Registry(
    "backbone",
    "codyra_suite.backbones",
    "suite.parts:BackboneConfig",
    {
        "mini-clip": Entry("suite.backbones.clip:MiniClipConfig", "shipped CLIP of 0.6 million parameters"),
        "open-clip": Entry("suite.backbones.clip:OpenClipConfig", "any open_clip model by name and pretrained tag"),
        "mini-lm": Entry("suite.backbones.causal_lm:MiniLMConfig", "shipped Llama of under half a million parameters"),
        "causal-lm": Entry("suite.backbones.causal_lm:CausalLMConfig", "any transformers causal LM, hub id or folder"),
    },
)

SPACES: Registry[Space] = Registry(
    "search space",
    "codyra_suite.spaces",
    "suite.tuning.space:Space",
    {
        "codyra": Entry("search_spaces.codyra:SPACE", "sparsity strength, schedule, rank and placement of CoDyRA"),
        "codyra-quick": Entry("search_spaces.codyra_quick:SPACE", "sparsity strength and placement only"),
        "codyra-steps": Entry("search_spaces.codyra_steps:SPACE", "the same with steps per task searched too"),
        "inflora": Entry("search_spaces.inflora:SPACE", "rank, energy that earlier tasks keep and placement of InfLoRA"),
        "loda": Entry("search_spaces.loda:SPACE", "merging, gradient alignment, rank and placement of LoDA"),
        "lora": Entry("search_spaces.lora:SPACE", "rank, scale, policy and placement of fixed-rank LoRA"),
        "olora": Entry("search_spaces.olora:SPACE", "penalty strength, rank and placement of orthogonal LoRA"),
        "probe": Entry("search_spaces.probe:SPACE", "placements x ranks of fixed-rank LoRA, a grid"),
        "replay": Entry("search_spaces.replay:SPACE", "memory size, weight and batch share of replay"),
        "sdlora": Entry("search_spaces.sdlora:SPACE", "magnitudes, rank, placement and optimizer of SD-LoRA"),
    },
    of_classes=False,
)
