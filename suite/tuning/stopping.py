"""Which running trial to stop: compared with others at the same number of finished tasks, never across."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from suite.runs.validation_view import ValidationView
from suite.settings import Settings


class StoppingConfig(Settings):
    """Task-wise early stopping.

    Attributes:
        rule: ``median`` stops a trial that is below the median of the others at the same task; ``none`` never stops.
        grace_tasks: tasks every trial may finish before it is compared.
        least_trials: others that must have reached the task before anyone is stopped there.
        margin: points of accuracy a trial may lie below the median.
    """

    rule: Literal["none", "median"] = "none"
    grace_tasks: Annotated[int, Field(ge=1)] = 2
    least_trials: Annotated[int, Field(ge=1)] = 4
    margin: Annotated[float, Field(ge=0)] = 0.0

    def should_stop(self, view: ValidationView, others: Mapping[Any, ValidationView]) -> bool:
        """True if the trial behind ``view`` is to end after its last finished task."""
        done = view.tasks_done
        if self.rule == "none" or done < self.grace_tasks or done >= len(view.tasks):
            return False
        rivals = [other.learned_mean(done) for other in others.values() if other.tasks_done >= done]
        return len(rivals) >= self.least_trials and view.learned_mean(done) < statistics.median(rivals) - self.margin
