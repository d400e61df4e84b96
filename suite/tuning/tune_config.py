"""The file of a tuning: which methods on which benchmarks, what each of them may use to be tuned, and what they are judged on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from suite.config import RunConfig, validate
from suite.counting import counted
from suite.errors import ConfigError
from suite.method_titles import JOINED, method_title
from suite.metrics.conventions import METRICS
from suite.parts import named_fields, part_class
from suite.registry import BENCHMARKS, METHODS, SPACES
from suite.settings import Settings
from suite.tuning.judging_orders import Order, judging_orders
from suite.tuning.lists import Orders, Several
from suite.tuning.space import Space
from suite.tuning.space_changes import LEARNING_RATE, field_of, has_learning_rate, is_named
from suite.tuning.stopping import StoppingConfig
from suite.tuning.study_config import LONGEST, Budget, FolderName, LearningRates, Sampler, StudyConfig
from trainables.faults import built_method
from trainables.method import Method
from trainables.resources import Resources
from trainables.wrapper import Wrapper

Seed = Annotated[int, Field(ge=0)]
Seeds = Several[Seed]
Parts = tuple[dict[str, Any], ...]
RATES = (1e-5, 5e-3)  # of a method whose space has no learning rate
NO_END = 100_000  # trials; of a study whose budget is a time
OWN_PARTS = ("benchmark", "method", "seed")  # of a run, which a tuning has in other fields
UNITS = {"trials": "trials", "run_seconds": "seconds", "gpu_hours": "GPU-hours"}


class TuneBudget(Settings):
    """What every study of a tuning may use; one of the three.

    Attributes:
        trials: different settings to try.
        run_seconds: of all its runs together, every run by its own clock.
        gpu_hours: the same times the share of a GPU; needs ``resources.gpus``.
    """

    trials: Annotated[int, Field(ge=1, le=NO_END)] | None = None
    run_seconds: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> TuneBudget:
        given = self.model_dump(exclude_none=True)
        if len(given) != 1:
            named = f"{' and '.join(given)} are given" if given else "nothing is given"
            raise ValueError(f"{named}; every study gets the same budget in one unit, name one of {', '.join(UNITS)}")
        return self

    @property
    def unit(self) -> str:
        """The field that is given."""
        return next(iter(self.model_dump(exclude_none=True)))

    @property
    def amount(self) -> float:
        return float(getattr(self, self.unit))

    def of_study(self) -> Budget:
        return Budget(**{"trials": NO_END, **self.model_dump(exclude_none=True)})


def amount(budget: float, unit: str) -> str:
    """A budget in words, ``unit`` being a value of ``UNITS``: ``12 trials``, ``90 seconds``, ``0.5 GPU-hours``."""
    return counted(int(budget), "trial") if unit == UNITS["trials"] else f"{budget:g} {unit}"


class Judge(Settings):
    """What the default and the chosen setting of every method are run on; no trial may have used any of it.

    Attributes:
        seeds: of the runs that judge; none of them may be a search seed.
        orders: of the tasks, one list for all benchmarks or one per benchmark; null: all that a benchmark has beside that of its trials.
    """

    seeds: Seeds = (1, 2, 3)
    orders: Orders = None


@dataclass(frozen=True)
class Entrant:
    """One method on one benchmark.

    Attributes:
        name: of its study, where it has one.
        run: fields of its run with the default setting, without a seed.
        study: None where there is nothing to tune.
        orders: that it is judged on; none where the benchmark has none.
    """

    name: str
    benchmark: str
    method: str
    run: Mapping[str, Any]
    study: StudyConfig | None
    orders: tuple[Order, ...]

    def judged(self, run: Mapping[str, Any], seeds: Sequence[int]) -> list[RunConfig]:
        """``run`` (fields of a config) on every judging order and seed.

        Raises:
            ConfigError: they make no run.
        """
        found = []
        for order, seed in product(self.orders or (None,), seeds):
            placed = {} if order is None else {"order": order}
            fields = {**run, "benchmark": {**named_fields(run["benchmark"], "benchmark"), **placed}, "seed": seed}
            found.append(validate(RunConfig, fields, where=f"{self.benchmark} {self.method}"))
        return found


class TuneConfig(Settings):
    """A tuning: methods on benchmarks, each tuned with the same budget, and judged on what no trial used.

    Attributes:
        name: of the tuning and of its folder.
        benchmarks, methods: names, or names with fields. What a method's fields name is fixed and not searched.
        settings: fields of every run beside benchmark, method and seed; fixed too, but for ``training.lr``, where the default begins.
        spaces: method -> name of its search space, where that is not the one with the method's name.
        learning_rate: limits of ``training.lr`` for all methods that take steps; null: those of a method's space, else ``RATES``.
        budget: of every study.
        objective: metric on validation data that the studies search for.
        selection: rule that chooses a study's trial, see ``suite.leaderboard.selection``.
        search_seeds: every trial is learned with each of these; its values are means over them.
        judge: what the default and the chosen setting are run on.
        stopping, sampler, sampler_seed, resources, concurrency, carrier, storage: as of a study.
    """

    name: FolderName
    benchmarks: Parts
    methods: Parts
    settings: dict[str, Any] = Field(default_factory=dict)
    spaces: dict[str, str] = Field(default_factory=dict)
    learning_rate: LearningRates | None = None
    budget: TuneBudget
    objective: str = "zscl.last"
    selection: Literal["two-phase", "current-task", "first-task"] = "two-phase"
    search_seeds: Seeds = (0,)
    judge: Judge = Judge()
    stopping: StoppingConfig = StoppingConfig()
    sampler: Sampler = "tpe"
    sampler_seed: Seed = 0
    resources: Resources = Resources()
    concurrency: Annotated[int, Field(ge=1)] | None = None
    carrier: Literal["auto", "direct", "train"] = "auto"
    storage: str | None = None

    @field_validator("benchmarks", "methods", mode="before")
    @classmethod
    def _parts(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("takes a list of at least one name, as in [lora, codyra]")
        return [named_fields(one, "an entry") for one in value]

    @field_validator("benchmarks")
    @classmethod
    def _known_benchmarks(cls, parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for part in parts:
            part_class(BENCHMARKS, part, "benchmarks")
        return _once(parts, [str(part["name"]) for part in parts])

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, parts: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for part in parts:
            part_class(METHODS, part, "methods")
        return _once(parts, [method_title(part) for part in parts])

    @field_validator("settings")
    @classmethod
    def _no_part_of_its_own(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if taken := [name for name in OWN_PARTS if name in settings]:
            raise ValueError(
                f"'{taken[0]}' is none of the settings that all runs share; see benchmarks, methods and judge.seeds"
            )
        return settings

    @field_validator("spaces")
    @classmethod
    def _spaces_of_their_methods(cls, spaces: dict[str, str]) -> dict[str, str]:
        for method, space in spaces.items():
            if SPACES[space].method != method:
                raise ValueError(f"{method}: '{space}' is a space of '{SPACES[space].method}'; name one of '{method}'")
        return spaces

    @field_validator("objective")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        METRICS[name]
        return name

    @field_validator("sampler")
    @classmethod
    def _draws_from_ranges(cls, sampler: str) -> str:
        if sampler == "grid":
            raise ValueError(
                "'grid' cannot try the learning rate, which is a range in every tuning; use another sampler, such as 'qmc'"
            )
        return sampler

    @model_validator(mode="after")
    def _has_gpus_to_count(self) -> TuneConfig:
        if self.budget.gpu_hours is not None and not self.resources.gpus:
            raise ValueError("budget.gpu_hours needs resources.gpus above 0; use budget.run_seconds on CPUs")
        return self

    @model_validator(mode="after")
    def _judges_on_fresh_seeds(self) -> TuneConfig:
        for seeds, where in ((self.search_seeds, "search_seeds"), (self.judge.seeds, "judge.seeds")):
            if twice := [seed for seed, count in Counter(seeds).items() if count > 1]:
                raise ValueError(f"{where}: {twice[0]} is named twice; name it once")
        if used := [str(seed) for seed in self.judge.seeds if seed in self.search_seeds]:
            raise ValueError(
                f"judge.seeds: {', '.join(used)} {'is' if len(used) == 1 else 'are'} in search_seeds, so that trials will have used "
                f"{'it' if len(used) == 1 else 'them'}; judge on other seeds"
            )
        if unused := [name for name in self.spaces if name not in {part["name"] for part in self.methods}]:
            raise ValueError(f"spaces: '{unused[0]}' is not among the methods; name it there, or leave its space out")
        if isinstance(self.judge.orders, dict):
            named = {part["name"] for part in self.benchmarks}
            if unused := [name for name in self.judge.orders if name not in named]:
                raise ValueError(f"judge.orders: '{unused[0]}' is not among the benchmarks; leave it out")
        return self

    @cached_property
    def entrants(self) -> tuple[Entrant, ...]:
        """Every method on every benchmark, by benchmark.

        Raises:
            ConfigError: a method, a benchmark or a study that cannot be; see ``_entrant``.
        """
        return tuple(self._entrant(benchmark, method) for benchmark, method in product(self.benchmarks, self.methods))

    def _entrant(self, benchmark: Mapping[str, Any], method: Mapping[str, Any]) -> Entrant:
        run = {**self.settings, "benchmark": dict(benchmark), "method": dict(method)}
        config = validate(RunConfig, run, where="run")
        title = method_title(config.resolved()["method"])
        name = f"{self.name}.{benchmark['name']}.{title.replace(JOINED, '-')}"
        if len(name) > LONGEST:
            rest = len(name) - len(self.name)
            raise ConfigError(
                f"name: '{self.name}' is too long: '{name}' names a folder, and has {len(name)} of at most {LONGEST} characters; use at most "
                f"{LONGEST - rest} here."
            )
        orders = judging_orders(config.benchmark, self.judge.orders)
        return Entrant(name, str(benchmark["name"]), title, run, self._study(name, run, config), orders)

    def _study(self, name: str, run: Mapping[str, Any], config: RunConfig) -> StudyConfig | None:
        """The study of one method on one benchmark; None for a method with nothing to tune.

        Raises:
            ConfigError: the method has settings of its own and no space to tune them in.
        """
        method = config.method.name
        space = self.spaces.get(method, method if method in SPACES and SPACES[method].method == method else None)
        if space is None:
            named = named_fields(run["method"], "method")
            if loose := [field for field in type(config.method).model_fields if field != "name" and field not in named]:
                raise ConfigError(
                    f"methods: '{method}' has no search space for its {', '.join(loose)}; add one (CONTRIBUTING.md has the steps), or "
                    f"fix them here: {{name: {method}, {loose[0]}: ...}}."
                )
            if takes_steps(config):
                raise ConfigError(
                    f"methods: '{method}' takes steps and has no search space for their learning rate; add one to search_spaces."
                )
            return None
        fixed = [f"method.{key}" for key in _leaves(run["method"])]
        fixed += [key for key in _leaves(self.settings) if key != LEARNING_RATE]
        known = dict.fromkeys(field_of(name) for name in SPACES[space].parameters)
        if foreign := [field for field in known if not is_named(config.resolved(), field)]:
            raise ConfigError(
                f"methods: '{method_title(config.resolved()['method'])}': space '{space}' searches {', '.join(foreign)}, which this method does "
                "not have; choose another method inside, or name another space under spaces."
            )
        fields = {
            "name": name,
            "run": dict(run),
            "space": space,
            "fixed": [key for key in fixed if key in known] or None,
            "learning_rate": self._rates(SPACES[space]) if takes_steps(config) else None,
            "default_first": True,
            "seeds": self.search_seeds,
            "objectives": [self.objective],
            "budget": self.budget.of_study(),
            **{key: getattr(self, key) for key in SHARED},
        }
        return validate(StudyConfig, fields, where="study")

    def _rates(self, space: Space) -> tuple[float, float] | None:
        """Limits of the learning rate that a study adds to ``space``, or puts in the place of its own."""
        return self.learning_rate or (None if has_learning_rate(space) else RATES)


SHARED = ("selection", "stopping", "sampler", "sampler_seed", "resources", "concurrency", "carrier", "storage")


def takes_steps(config: RunConfig) -> bool:
    """Whether the run's method takes the optimizer steps of the budget, and so has a use for a learning rate."""
    method = built_method(config.method)
    inside = method.innermost if isinstance(method, Wrapper) else method
    return type(inside).steps is Method.steps


def _once(parts: tuple[dict[str, Any], ...], titles: Sequence[str]) -> tuple[dict[str, Any], ...]:
    if twice := [title for title, count in Counter(titles).items() if count > 1]:
        raise ValueError(f"'{twice[0]}' is named twice; name it once, a second tuning compares two settings of one")
    return parts


def _leaves(fields: Mapping[str, Any]) -> Iterator[str]:
    """Dotted keys of the values in nested mappings."""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _leaves(value))
        else:
            yield str(key)
