"""What the parts of a run are configured with: bases of benchmark, method and backbone configs, and the training budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from suite.benchmarks.stream import Stream
from suite.errors import ConfigError
from suite.hashing import place_hash
from suite.registration import Entry, Registry
from suite.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh

    from suite.backbones.learner import Learner
    from trainables.method import Method


class PartConfig(Settings):
    """Base of what a run is made of: a registered class with its fields, frozen, unknown keys refused, defaults only here."""

    name: str

    def content(self) -> dict[str, str]:
        """Field -> hash of what it names on this machine.

        In the run's identity the hash stands in the place of the spelling, and under a key that is no field it is added. Here
        for every text that names a file, or a folder by more than one word. A class whose fields name more overrides it.
        """
        return {
            key: place_hash(Path(value).expanduser())
            for key, value in self
            if isinstance(value, str | Path)
            and "Literal" not in str(type(self).model_fields[key].annotation)
            and _is_place(value)
        }

    def identity(self) -> dict[str, Any]:
        """The fields as plain JSON types, with contents in the place of paths."""
        inside = {key: part.identity() for key, part in self if isinstance(part, PartConfig)}
        return {**self.model_dump(mode="json"), **inside, **self.content()}

    def draws_on(self) -> Iterator[Entry]:
        """Rows of tables that its fields name beside its own: what they stand for counts in the run's code as the class itself does."""
        return iter(())

    def with_parts_inside(self) -> Iterator[PartConfig]:
        """This part and those in its fields, such as the method inside a wrapper, however deep."""
        yield self
        for _, part in self:
            if isinstance(part, PartConfig):
                yield from part.with_parts_inside()


Part = TypeVar("Part", bound=PartConfig)


def named_fields(value: Any, where: str) -> dict[str, Any]:
    """``value`` as fields of a part: a model's, a mapping, or the name alone.

    Args:
        where: dotted field of the config, for the message.
    """
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, str | Mapping):
        return {"name": value} if isinstance(value, str) else dict(value)
    raise ConfigError(f"{where}: {value!r} is neither a name nor a mapping of fields; write it as {where}: {{name: ...}}.")


def part_class(registry: Registry[type[Part]], value: Any, where: str) -> type[Part]:
    """The class of the part that ``value`` names.

    Raises:
        ConfigError: no name, or none of the table's.
    """
    name = named_fields(value, where).get("name")
    if not isinstance(name, str):
        raise ConfigError(f"{where}.name: is missing; use one of {', '.join(sorted(registry))}.")
    return registry.find(name, where=f"{where}.name")


def validated_part(registry: Registry[type[Part]], value: Any, where: str) -> Any:
    """``value`` as a config of the class that it names; parts inside know the field ``where`` they stand by the context."""
    if isinstance(value, BaseModel):
        return value
    return part_class(registry, value, where).model_validate(named_fields(value, where), context={"where": where.split(".")})


def _is_place(value: str | Path) -> bool:
    """Whether a field's value names a file here, or a folder in words that are a path and nothing else."""
    try:
        path = Path(value).expanduser()
        return path.is_file() or (path.is_dir() and (isinstance(value, Path) or "/" in value or value in (".", "..", "~")))
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a home that nobody has: no path
        return False


class MethodConfig(PartConfig):
    """Base of all method configs: ranges in the types, ``build`` returns the method.

    Attributes:
        knows_later_tasks: what the method has learned after some tasks may depend on those that follow, on their number, names, classes
            or rows. False only where it cannot: then streams that begin with the same tasks share what was learned of them.
        of_earlier_tasks: fields that mean nothing in the first task, such as the weight of a term that needs an earlier one: runs that
            differ in them alone share what was learned of it.
    """

    knows_later_tasks: ClassVar[bool] = True
    of_earlier_tasks: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def has_ranks(cls) -> bool:
        """Whether its runs report effective ranks; overridden where that is not the same as having a field ``rank``."""
        return "rank" in cls.model_fields

    def beginning(self, learned: Sequence[str]) -> dict[str, Any]:
        """Of ``identity``, what decides the state after the tasks ``learned``, the first of a stream.

        All of it, but for ``of_earlier_tasks`` where no task was learned before. A class whose fields matter from some other task on
        overrides it.
        """
        without = self.of_earlier_tasks if len(learned) == 1 else frozenset()
        return {key: value for key, value in self.identity().items() if key not in without}

    def degenerate_settings(self) -> Sequence[tuple[MethodConfig, Mapping[str, Any]]]:
        """Pairs (this config with what it adds switched off, another method as the fields of its config).

        Both of a pair give the same run bit for bit, and this config as it is gives another; conformance tests hold that.
        """
        return ()

    def build(self) -> Method:
        """The method that this config describes."""
        raise TypeError(f"{type(self).__name__} defines no build()")


class BackboneConfig(PartConfig):
    """Base of all backbone configs. ``build`` loads the weights and prepares the stream's inputs.

    Attributes:
        kind: of the learner; None: not known before it is built.
        threads: with which a run on a CPU computes at most, where more only wait for each other; None: all that the process was given.
        can_shard: the frozen weights can lie over several workers; the class has a ``build_sharded`` then.
    """

    kind: ClassVar[Literal["clip", "lm"] | None] = None
    threads: ClassVar[int | None] = None
    can_shard: ClassVar[bool] = False

    def build(self, stream: Stream, device: torch.device) -> Learner:
        raise ConfigError(f"backbone '{self.name}' cannot be built; its config class defines no build().")

    def build_sharded(self, stream: Stream, device: torch.device, mesh: DeviceMesh) -> Learner:
        """``build`` with the frozen weights over the workers of ``mesh``; only where ``can_shard``."""
        raise TypeError(f"{type(self).__name__} defines no build_sharded()")

    def check(self, stream: Stream) -> None:
        """Refuse what ``build`` would, as far as that is seen without the weights; a command asks before it starts anything.

        Raises:
            ConfigError: names or files that are not there, or a stream that this backbone cannot tell apart or read.
        """


class BenchmarkConfig(PartConfig):
    """Base of all benchmark configs; ``build`` reads the data and returns the stream.

    Attributes:
        places: fields that say where the data lies. They are no part of a run's identity, the fingerprint covers what lies there.
        chooses: fields that say which tasks there are and in which order, and change nothing in a task.
        backbone: default backbone of the benchmark, as config fields.
        budget: the benchmark's own training budget, as fields of ``TrainingConfig``.
        published_zero_shot: published zero-shot accuracy of the default backbone per task, or under ``mean`` over all tasks.
        published_zero_shot_tolerance: points by which a measured value may differ before a run is refused.
        limit: rows per split and task at most, the first ones of what the benchmark draws or lists, of images the first of every
            class before the second of any; null = all. It stands in a config only where it is set, so that adding it renamed none.
    """

    places: ClassVar[frozenset[str]] = frozenset()
    chooses: ClassVar[frozenset[str]] = frozenset()
    backbone: ClassVar[Mapping[str, Any]] = {}
    budget: ClassVar[Mapping[str, Any]] = {}
    published_zero_shot: ClassVar[Mapping[str, float]] = {}
    published_zero_shot_tolerance: ClassVar[float] = 2.0

    limit: Annotated[int, Field(ge=1)] | None = Field(default=None, exclude_if=lambda most: most is None)

    @property
    def restricted(self) -> bool:
        """True when the config names the tasks itself: another stream than the benchmark's own."""
        return False

    def build(self, data_root: Path) -> Stream:
        """The whole stream under ``data_root``; DataError when something is missing. Commands ask ``open``."""
        raise TypeError(f"{type(self).__name__} defines no build()")

    def open(self, data_root: Path) -> Stream:
        """The stream that a run learns: what ``build`` returns, cut to ``limit`` rows per split and task."""
        stream = self.build(data_root)
        return stream if self.limit is None else stream.limited(self.limit)

    def content(self) -> dict[str, str]:
        return {}

    def identity(self) -> dict[str, Any]:
        return {key: value for key, value in super().identity().items() if key not in self.places}


class ReferencesConfig(Settings):
    """A reference set: pictures and captions beside the stream, which some methods distil on.

    Attributes:
        folder: holds ``images/`` and ``texts.txt``; in a run's identity its content stands in its place.
    """

    folder: str

    def identity(self) -> dict[str, str]:
        return {"folder": place_hash(Path(self.folder).expanduser())}


class TaskTraining(Settings):
    """What one task of the stream has of its own, as releases with a learning rate per data set need it; null = the run's."""

    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    lr: Annotated[float, Field(gt=0)] | None = None


class TrainingConfig(Settings):
    """Budget and optimizer of every task; the same for all methods of a comparison unless a config says otherwise."""

    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None  # optimizer steps per task
    epochs: Annotated[float, Field(gt=0, le=10**6)] | None = (
        None  # or passes over the task's rows; "task" epochs if both are None
    )
    batch_size: Annotated[int, Field(ge=1, le=10**6)] = 64
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None  # rows per forward pass; gradients are accumulated
    lr: Annotated[float, Field(gt=0)] = 5e-4
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of sgd
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"  # auto: bf16 on a GPU that has it, else fp32
    eval_precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on GPUs that have it, else as in training
    deterministic: bool = (
        True  # sums in a fixed order on GPUs too, somewhat slower; false for models with a kernel that has none
    )
    kernels: Literal["torch", "triton"] = "torch"  # triton: a CLIP's branches in the kernels behind its maps, under bf16 alone
    encoders: Literal["in_turn", "at_once"] = "in_turn"  # at_once: a CLIP's two encoders beside each other on a GPU
    per_task: Mapping[str, TaskTraining] = Field(default_factory=dict)  # by task name; what it leaves null is the run's

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are both set; set one and leave the other null")
        return self

    @model_validator(mode="after")
    def _kernels_fit(self) -> TrainingConfig:
        if self.kernels == "triton" and self.precision != "bf16":
            raise ValueError(
                f"kernels=triton serves bf16 alone and precision is {self.precision}; set precision=bf16 or kernels=torch"
            )
        return self

    def of_task(self, name: str) -> TrainingConfig:
        """This budget with what ``per_task`` says of the task ``name``; its own steps replace steps and epochs alike."""
        own = self.per_task.get(name)
        if own is None:
            return self
        fields: dict[str, Any] = {} if own.lr is None else {"lr": own.lr}
        if own.steps is not None:
            fields |= {"steps": own.steps, "epochs": None}
        return self.model_copy(update=fields)
