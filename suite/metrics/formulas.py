"""The formulas behind the metric names of ``suite.metrics.conventions``: pure functions of an accuracy matrix.

Notation: R (T + 1, T), row i = after i tasks, row 0 = untouched backbone, column j = zero-based task, just learned =
R[j + 1, j]; all values 0 to 100. d_j = R[T, j] - R[j + 1, j]. Every function refuses a matrix in which a cell it needs
was not measured. No function rounds, pads or changes its input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suite.counting import counted
from suite.errors import UndefinedMetric
from suite.metrics.matrix import AccuracyMatrix, require_measured

Vector = NDArray[np.float64]


def _need_tasks(matrix: AccuracyMatrix, least: int = 2) -> None:
    count = len(matrix.tasks)
    if count < least:
        raise UndefinedMetric(
            f"the stream has {counted(count, 'task')}, but the metric is defined from {least} tasks on; leave it out for this stream."
        )


def _just_learned(matrix: AccuracyMatrix) -> Vector:
    """R[j + 1, j], (T,)."""
    return np.diagonal(require_measured(matrix, "diagonal"), offset=-1)


def _last_row(matrix: AccuracyMatrix) -> Vector:
    """R[T, j], (T,)."""
    return np.asarray(require_measured(matrix, "last_row")[-1])


def _change(matrix: AccuracyMatrix) -> Vector:
    """d_j, (T,); the last entry is 0 because the last task was learned last."""
    return _last_row(matrix) - _just_learned(matrix)


def transfer(matrix: AccuracyMatrix) -> float:
    """zscl.transfer: column means of the cells above the diagonal, then the mean of the T - 1 columns.

    Row 0 does not enter; the mean of the whole triangle is a different number.
    Source: Thunderbeee/ZSCL, mtil/results.ipynb, function ``statistics``.
    """
    _need_tasks(matrix)
    r = require_measured(matrix, "above_diagonal")
    return float(np.mean([r[1 : j + 1, j].mean() for j in range(1, len(matrix.tasks))]))


def average(matrix: AccuracyMatrix) -> float:
    """zscl.average: mean of all T x T cells of rows 1..T. Source: as ``transfer``."""
    return float(require_measured(matrix, "all_learned")[1:].mean(axis=0).mean())


def last(matrix: AccuracyMatrix) -> float:
    """zscl.last: mean of the last row, (1/T) sum_j R[T, j]. Also TRACE's OP, GEM's ACC, TreeLoRA's "Last Average".

    Sources: Thunderbeee/ZSCL, mtil/results.ipynb; TRACE, arXiv 2310.06762; GEM, arXiv 1706.08840.
    """
    return float(_last_row(matrix).mean())


def masked_transfer(matrix: AccuracyMatrix) -> float:
    """rail.transfer: like zscl.transfer with every cell equal to 0 masked, then every empty column.

    Equal to zscl.transfer unless an unseen task scores exactly 0; then it is larger. CoDyRA uses the same lines.
    Sources: linghan1997/Regression-based-Analytic-Incremental-Learning, primal_RAIL.py, end of file;
    Artificer-AI-Lab/CoDyRA, main.py, function ``main``.

    Raises:
        UndefinedMetric: every cell above the diagonal is 0, so that nothing is left to average.
    """
    _need_tasks(matrix)
    r = require_measured(matrix, "above_diagonal")
    columns = [column[column != 0] for column in (r[1 : j + 1, j] for j in range(1, len(matrix.tasks)))]
    means = [column.mean() for column in columns if column.size]
    if not means:
        raise UndefinedMetric(
            "every cell above the diagonal is 0 and is masked, so there is no Transfer; "
            "evaluate the unseen tasks or use zscl.transfer."
        )
    return float(np.mean(means))


def backward_transfer(matrix: AccuracyMatrix) -> float:
    """gem.bwt = (1/(T-1)) sum_{j<T-1} d_j; negative = forgetting.

    Also the BWT printed in the tables of the TRACE paper (trace.bwt; Tables 7 to 16, 18 and 22 fit only this divisor).
    Sources: GEM, arXiv 1706.08840, equation of BWT (its released metrics/metrics.py divides by T instead); TRACE,
    arXiv 2310.06762.
    """
    _need_tasks(matrix)
    return float(_change(matrix)[:-1].mean())


def forward_transfer(matrix: AccuracyMatrix) -> float:
    """gem.fwt = (1/(T-1)) sum_{j>=1} (R[j, j] - R[0, j]); positive = earlier tasks helped.

    GEM's baseline is a random initialisation; here it is the untouched pretrained backbone.
    Source: GEM, arXiv 1706.08840; facebookresearch/GradientEpisodicMemory, metrics/metrics.py.
    """
    _need_tasks(matrix)
    require_measured(matrix, "untouched_row")
    r = require_measured(matrix, "above_diagonal")
    return float(np.mean([r[j, j] - r[0, j] for j in range(1, len(matrix.tasks))]))


def diagonal_forgetting(matrix: AccuracyMatrix) -> float:
    """avalanche.forgetting (F_diag) = -(1/(T-1)) sum_{j<T-1} d_j; positive = forgetting, the negative of gem.bwt.

    Source: ContinualAI/avalanche, evaluation/metrics/forgetting_bwt.py, StreamForgetting: first minus last value of
    every experience but the one just trained.
    """
    return 0.0 - backward_transfer(matrix)  # not a unary minus: nothing forgotten is 0, not -0


def max_forgetting(matrix: AccuracyMatrix) -> float:
    """codyra.forgetting (F_max): mean over all but the last task of best score since it was learned minus final score.

    Positive = forgetting. The suite's default for "Forgetting on X-TAIL" of the CoDyRA page (Table 4): neither the
    page nor the released code states a formula, so the name says what the suite compares with, not what was proven.
    Source: the usual reading of Chaudhry et al. 2018, arXiv 1801.10112, restricted to steps after learning.
    """
    _need_tasks(matrix)
    r = require_measured(matrix, "on_and_below_diagonal")
    return float(np.mean([r[j + 1 : -1, j].max() - r[-1, j] for j in range(len(matrix.tasks) - 1)]))


def walk_forgetting(matrix: AccuracyMatrix) -> float:
    """chaudhry.forgetting (F_max_all): as codyra.forgetting with the maximum over all steps 1..T-1.

    Steps before a task was learned count too, which matters only when its zero-shot score beats everything later.
    Source: Riemannian walk, Chaudhry et al. 2018, arXiv 1801.10112; facebookresearch/agem, utils/utils.py, compute_fgt.
    """
    _need_tasks(matrix)
    r = require_measured(matrix, "all_learned")
    return float((r[1:-1, :-1].max(axis=0) - r[-1, :-1]).mean())


def clipped_backward_transfer(matrix: AccuracyMatrix) -> float:
    """treelora.bwt = (1/T) sum_j min(d_j, 0); never positive, so gains on one task cannot offset losses on another.

    Source: ZinYY/TreeLoRA, inference/collect_results.py.
    """
    return float(np.minimum(_change(matrix), 0.0).mean())


def clipped_forgetting(matrix: AccuracyMatrix) -> float:
    """treelora.forgetting (F_clip) = -treelora.bwt; positive = forgetting.

    That "Forgetting" of the CoDyRA page's TRACE table means this is inferred from equal table entries and signs.
    """
    return 0.0 - clipped_backward_transfer(matrix)


def backward_transfer_over_all(matrix: AccuracyMatrix) -> float:
    """trace.bwt_text = seekr.bwt = (1/T) sum_j d_j with d of the last task 0; negative = forgetting.

    Sources: formula attributed to the text of the TRACE paper (second-hand); jinghan1he/SEEKR, show_results.py.
    """
    return float(_change(matrix).mean())


def learning_accuracy(matrix: AccuracyMatrix) -> float:
    """(1/T) sum_j R[j + 1, j]: how well each task was learned. To be printed beside every forgetting number."""
    return float(_just_learned(matrix).mean())


def mean_of_measured_triangle(matrix: AccuracyMatrix) -> float:
    """treelora.all_average: mean of all T (T + 1) / 2 cells on and below the diagonal, every cell with equal weight.

    Source: ZinYY/TreeLoRA, inference/collect_results.py ("All Average").
    """
    r = require_measured(matrix, "on_and_below_diagonal")
    return float(np.concatenate([r[j + 1 :, j] for j in range(len(matrix.tasks))]).mean())


def incremental_average(matrix: AccuracyMatrix) -> float:
    """libcontinual.average = mean over i of OP_i, OP_i = (1/i) sum_{j<i} R[i, j].

    Source: RL-VIG/LibContinual, core/trainer.py ("[Task] Overall Avg Acc").
    """
    r = require_measured(matrix, "on_and_below_diagonal")
    return float(np.mean([r[i, :i].mean() for i in range(1, len(matrix.tasks) + 1)]))


def libcontinual_backward_transfer(matrix: AccuracyMatrix) -> float:
    """libcontinual.bwt = 2 / (T (T-1)) * sum_{i=3..T} sum_{j=0..i-3} (R[i, j] - R[j + 1, j]); negative = forgetting.

    The step right after a task is left out of the sum but not of the divisor, so values are closer to 0 than in the
    formula of Diaz-Rodriguez et al. 2018 that the code cites.
    Source: RL-VIG/LibContinual, core/utils/utils.py, compute_bwt (which returns 0 for fewer than 3 tasks).
    """
    _need_tasks(matrix, least=3)
    r, learned = require_measured(matrix, "on_and_below_diagonal"), _just_learned(matrix)
    tasks = len(matrix.tasks)
    total = sum(float((r[i, : i - 2] - learned[: i - 2]).sum()) for i in range(3, tasks + 1))
    return 2.0 * total / (tasks * (tasks - 1))


def libcontinual_forgetting(matrix: AccuracyMatrix) -> float:
    """libcontinual.forgetting = -(1/(T-1)) sum_{j=0..T-3} d_j; positive = forgetting.

    The last but one task is left out of the sum but not of the divisor.
    Source: RL-VIG/LibContinual, core/utils/utils.py, compute_frgt (which returns 0 for fewer than 3 tasks).
    """
    _need_tasks(matrix, least=3)
    return 0.0 - float(_change(matrix)[:-2].sum()) / (len(matrix.tasks) - 1)
