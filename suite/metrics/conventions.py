"""Metric names and the conventions they belong to. There is no plain "BWT" or "forgetting", only named ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

from suite.errors import SuiteError, UndefinedMetric, unknown_name
from suite.metrics import formulas
from suite.metrics.matrix import AccuracyMatrix
from suite.registration import Registry, RowsOf


@dataclass(frozen=True)
class Metric:
    """One named summary of an accuracy matrix.

    Attributes:
        function: matrix -> number; accuracies 0 to 100, differences in points; UndefinedMetric with the reason where there is none.
        source: where the formula comes from.
        description: one line for table headers and lists, with the sign where it matters.
    """

    name: str
    function: Callable[[AccuracyMatrix], float]
    higher_is_better: bool
    source: str
    description: str


_ZSCL = "Thunderbeee/ZSCL, mtil/results.ipynb"
_RAIL = "linghan1997/Regression-based-Analytic-Incremental-Learning, primal_RAIL.py"
_CODYRA = "Artificer-AI-Lab/CoDyRA, main.py"
_TRACE = "TRACE, arXiv 2310.06762"
_TREE = "ZinYY/TreeLoRA, inference/collect_results.py"
_GEM = "GEM, arXiv 1706.08840"
_LIBCONTINUAL = "RL-VIG/LibContinual, core/utils/utils.py and core/trainer.py"

_TRANSFER = (formulas.transfer, True)
_MASKED_TRANSFER = (formulas.masked_transfer, True)
_AVERAGE = (formulas.average, True)
_LAST = (formulas.last, True)
_BACKWARD = (formulas.backward_transfer, True)
_OVER_ALL = (formulas.backward_transfer_over_all, True)
_MASK_NOTE = "unseen tasks, column means then their mean; cells that are exactly 0 are masked"
_AVERAGE_NOTE = "mean of all cells after the first task"

_OWN = (
    Metric("zscl.transfer", *_TRANSFER, _ZSCL, "unseen tasks, column means then their mean; row 0 does not enter"),
    Metric("zscl.average", *_AVERAGE, _ZSCL, _AVERAGE_NOTE),
    Metric("zscl.last", *_LAST, _ZSCL, "mean over tasks after the last one"),
    Metric("rail.transfer", *_MASKED_TRANSFER, _RAIL, _MASK_NOTE),
    Metric("rail.average", *_AVERAGE, _RAIL, f"{_AVERAGE_NOTE}; refused where the release counts skipped cells as 0"),
    Metric("rail.last", *_LAST, _RAIL, "mean over tasks after the last one"),
    Metric("codyra.transfer", *_MASKED_TRANSFER, _CODYRA, _MASK_NOTE),
    Metric("codyra.average", *_AVERAGE, _CODYRA, _AVERAGE_NOTE),
    Metric("codyra.last", *_LAST, _CODYRA, "mean over tasks after the last one"),
    Metric(
        "codyra.forgetting", formulas.max_forgetting, False,
        "the suite's choice for Table 4 of the CoDyRA page, which states no formula; arXiv 1801.10112 restricted",
        "best since learned minus final, over T-1 tasks; positive = forgetting",
    ),
    Metric(
        "chaudhry.forgetting", formulas.walk_forgetting, False,
        "Riemannian walk, arXiv 1801.10112; facebookresearch/agem, utils/utils.py, compute_fgt",
        "best of all earlier steps minus final, over T-1 tasks; positive = forgetting",
    ),
    Metric("gem.average", *_LAST, _GEM, "ACC: mean over tasks after the last one"),
    Metric("gem.bwt", *_BACKWARD, _GEM, "final minus just learned, over T-1 tasks; negative = forgetting"),
    Metric(
        "gem.fwt", formulas.forward_transfer, True, _GEM,
        "just before learning minus untouched backbone, over T-1 tasks",
    ),
    Metric(
        "avalanche.forgetting", formulas.diagonal_forgetting, False,
        "ContinualAI/avalanche, evaluation/metrics/forgetting_bwt.py",
        "just learned minus final, over T-1 tasks; positive = forgetting",
    ),
    Metric("trace.op", *_LAST, _TRACE, "overall performance: mean over tasks after the last one"),
    Metric(
        "trace.bwt", *_BACKWARD, f"{_TRACE}, printed tables",
        "final minus just learned, over T-1 tasks; negative = forgetting",
    ),
    Metric(
        "trace.bwt_text", *_OVER_ALL, f"{_TRACE}, formula of the text (second-hand)",
        "final minus just learned, over T tasks; negative = forgetting",
    ),
    Metric(
        "seekr.bwt", *_OVER_ALL, "jinghan1he/SEEKR, show_results.py",
        "final minus just learned, over T tasks; negative = forgetting",
    ),
    Metric(
        "treelora.bwt", formulas.clipped_backward_transfer, True, _TREE,
        "losses only, over T tasks; negative = forgetting",
    ),
    Metric(
        "treelora.forgetting", formulas.clipped_forgetting, False,
        f"{_TREE}; sign as on the CoDyRA and MoRAM pages (inferred)",
        "losses only, over T tasks; positive = forgetting",
    ),
    Metric(
        "treelora.all_average", formulas.mean_of_measured_triangle, True, _TREE,
        "mean of all cells on and below the diagonal",
    ),
    Metric(
        "libcontinual.average", formulas.incremental_average, True, _LIBCONTINUAL,
        "mean over steps of the mean over learned tasks",
    ),
    Metric("libcontinual.last", *_LAST, _LIBCONTINUAL, "mean over tasks after the last one"),
    Metric(
        "libcontinual.bwt", formulas.libcontinual_backward_transfer, True, _LIBCONTINUAL,
        "later minus just learned over all steps but the next; negative = forgetting",
    ),
    Metric(
        "libcontinual.forgetting", formulas.libcontinual_forgetting, False, _LIBCONTINUAL,
        "just learned minus final without the last but one task, over T-1; positive = forgetting",
    ),
    Metric(
        "learning_accuracy", formulas.learning_accuracy, True, "mean of the diagonal",
        "mean score just after learning each task",
    ),
)  # fmt: skip

TABLE: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _OWN})
METRICS: Registry[Metric] = Registry(
    "metric", "codyra_suite.metrics", f"{__name__}:Metric", RowsOf(f"{__name__}:TABLE"), of_classes=False, are_named=True
)

CONVENTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "zscl": ("zscl.transfer", "zscl.average", "zscl.last"),
        "codyra": ("codyra.transfer", "codyra.average", "codyra.last", "codyra.forgetting"),
        "rail": ("rail.transfer", "rail.average", "rail.last"),
        "trace": ("trace.op", "trace.bwt", "learning_accuracy"),
        "treelora": ("trace.op", "treelora.bwt", "treelora.all_average", "learning_accuracy"),
        "seekr": ("trace.op", "seekr.bwt", "learning_accuracy"),
        "gem": ("gem.average", "gem.bwt", "gem.fwt"),
        "avalanche": ("gem.average", "avalanche.forgetting", "learning_accuracy"),
        "rwalk": ("gem.average", "chaudhry.forgetting", "learning_accuracy"),
        "libcontinual": (
            "libcontinual.average", "libcontinual.last", "libcontinual.bwt", "libcontinual.forgetting",
        ),
    }
)  # fmt: skip


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ConfigError: unknown name, or an outside package's that cannot be used.
    """
    return METRICS[name]


def convention(name: str) -> tuple[Metric, ...]:
    """The metrics that ``leaderboard --convention NAME`` shows, in order. Those of an outside package, ``NAME.metric``, make one too.

    Raises:
        SuiteError: unknown name.
    """
    known = {**_outside_conventions(), **CONVENTIONS}
    if name not in known:
        raise unknown_name("metric convention", name, known)
    return tuple(METRICS[entry] for entry in known[name])


def _outside_conventions() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in METRICS:
        prefix, dot, _ = name.partition(".")
        if name not in TABLE and dot:
            found[prefix] = (*found.get(prefix, ()), name)
    return found


def compute(name: str, matrix: AccuracyMatrix) -> float:
    """Value of the metric ``name``.

    Raises:
        ConfigError: unknown name.
        UndefinedMetric: a needed cell was not measured, or too few tasks.
        SuiteError: the metric of an outside package raises, or gives no number.
    """
    function = metric(name).function
    try:
        with METRICS.named_faults(name):
            value: object = function(matrix)
    except UndefinedMetric as reason:
        raise UndefinedMetric(f"{name}: {reason}") from None
    if not isinstance(value, Real):
        raise SuiteError(
            f"metric '{name}' of {METRICS.entries[name].owner}: gives {value!r}, which is not a number; correct it."
        )
    return float(value)


def compute_if_defined(name: str, matrix: AccuracyMatrix) -> float:
    """Value of the metric ``name``; NaN where the stream leaves it undefined, for tables, which then say so.

    Raises:
        ConfigError: unknown name.
    """
    try:
        return compute(name, matrix)
    except UndefinedMetric:
        return math.nan
