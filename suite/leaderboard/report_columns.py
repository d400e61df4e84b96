"""Columns of the page's tables: what stands at their head, and what they mean in a sentence, which the page shows beside the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from suite.leaderboard.comparison import LEVEL
from suite.leaderboard.tuned_sensitivity import WITHIN
from suite.metrics.conventions import METRICS

MEGABYTE = 1e6
PERCENT = f"{100 * LEVEL:g} %"
INTERVAL, BEHIND = "95 % interval", "minus best"


@dataclass(frozen=True)
class Head:
    """A column's head and its meaning."""

    text: str
    meaning: str


# Column of the leaderboard -> its head here, what its values are divided by, and what it means.
BESIDE: Mapping[str, tuple[str, float, str]] = MappingProxyType(
    {
        "n": ("n", 1, "Finished runs in the mean: seeds, or seeds and orders."),
        "effective_rank": ("effective rank", 1, "Parts left after pruning, mean over adapted weights, tasks and runs."),
        "no_signal_rank": (
            *("no-signal rank", 1),
            "Parts that schedule and initialisation alone would leave, without any data; the effective rank means nothing without it.",
        ),
        "wall_seconds": ("seconds", 1, "Wall time of training and evaluation over the whole stream, mean over runs."),
        "peak_gib": ("GiB", 1, "Largest memory: of the device where there is one, else of the process."),
        "trainable_parameters": ("trainable", 1, "Numbers that the optimizer may change, largest over tasks."),
        "carried_bytes": (
            "carried MB",
            MEGABYTE,
            "What is kept for later tasks beside the network's weights, largest over tasks.",
        ),
        "decision": ("decision", 1, "sample: an answer depends on its example alone; batch: on the examples beside it too."),
        "task_id_at_test": ("task id at test", 1, "Whether an answer needs to be told which task its example belongs to."),
        "extra_data": ("extra data", 1, "What is used beside the examples of the task at hand: stored examples, references."),
        "mergeable": ("mergeable", 1, "Whether what was learned ends in the backbone's own weights."),
        "budget": ("budget", 1, "Steps or epochs per task, times batch size."),
        "selection": ("selection", 1, "The rule by which a study chose this setting, and what it read."),
        "commit": ("commit", 1, "Version of the code; + means uncommitted changes."),
        "unfinished": ("unfinished", 1, "Runs of this row that are not in the mean, with how far they came."),
        "tags": ("tags", 1, "What people called the row's runs with 'codyra-suite runs tag'."),
    }
)

TUNED: Mapping[str, str] = MappingProxyType(
    {
        "method": "Every method was given the same budget of trials.",
        "default setting": "The method as it is without tuning: mean and standard deviation over the judging runs, in percent.",
        "tuned setting": "The setting that validation data chose, on seeds and orders that no trial used. "
        f"◆ highest mean, ◇ not separable from it (all pairs, Holm, {PERCENT}).",
        "gain": "Tuned minus default setting on equal runs, in points.",
        "95 % interval": "Of the gain, for each method alone.",
        "p of gain": "That there is no gain; Holm-corrected over the methods.",
        "runs": "Finished judging runs of the default and of the tuned setting, of those planned for each.",
        "optimism": "Validation score of the chosen trial minus that of the same setting on the judging seeds: what choosing promised too much.",
        "trials": "Trials of the method's study, and how they ended.",
        "seconds": "Wall time of all trials and judging runs.",
        "settings": "What the chosen trial sets; empty where there was nothing to tune.",
    }
)
SEARCH: Mapping[str, str] = MappingProxyType(
    {
        "method": "The method that was searched.",
        "trials": "Trials that were learned to their end.",
        "after one": "Best validation score that is expected after one trial.",
        "after half": "The same after half of the trials, mean over all sets of half of them.",
        "80 % of halves": "Where that lies in 80 % of these sets.",
        "after all": "Best validation score of all trials.",
        "share of space": f"Of the trials that were drawn at random, those within {WITHIN:g} point of the method's best trial.",
        "95 % interval": "Of the share.",
        "random trials": "Trials that were drawn from the whole space without looking at others.",
    }
)
STUDY: Mapping[str, str] = MappingProxyType(
    {
        "chosen": "The row of the tables above that shows the chosen trial.",
        "among": "Finished trials it was chosen from.",
        "by": "The rule of choice, and what it read.",
        "oracle gap, points": "What choosing by test accuracy would have added to the chosen trial's.",
    }
)
FRONT: Mapping[str, str] = MappingProxyType(
    {"trial": "Number of the trial in its study.", "chosen": "Whether the study's rule chose this trial."}
)
PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        "method": "As the source names it.",
        "metric": "In the convention that the name begins with.",
        "published": "The printed mean.",
        "own": "Mean of the runs here that come nearest to the published protocol.",
        "n": "Runs in that mean.",
        "difference": "Own minus published, in points.",
        "tolerance": "Largest difference that counts as reproduced.",
        "verdict": "Inside tolerance, outside, or not attempted because the protocol differs.",
        "why": "What differs from the published protocol, or why there is no verdict.",
        "setting": "As the source has it.",
        "order": "Order of the tasks.",
        "backbone": "The pretrained network of the source.",
        "grade": "How the number was read: an author's log, an author's text, or second-hand.",
        "source": "Where it was printed.",
    }
)


def metric_head(name: str) -> Head:
    """A metric with its formula in words."""
    formula = f"{METRICS[name].description}. " if name in METRICS else ""
    return Head(name, f"{formula}Mean and standard deviation over runs, in percent or points.")


def board_heads(metrics: list[str], headline: str, beside: list[str], *, with_intervals: bool) -> list[Head]:
    """Heads of a stream's main table: method, metrics, the headline's interval and distance behind it, and what stands beside."""
    heads = [Head("method", "The method and the beginning of its settings' hash; below the table it opens to all settings.")]
    for name in metrics:
        heads.append(metric_head(name))
        if with_intervals and name == headline:
            heads += [
                Head(
                    INTERVAL,
                    f"Of {name}, mean over tasks after the last one: 19 of 20 such intervals hold the true mean. {_over()}",
                ),
                Head(
                    BEHIND,
                    f"The row minus the best row in {name}, in points, with its own 95 % interval, paired example by example.",
                ),
            ]
    return heads + [Head(BESIDE[name][0], BESIDE[name][2]) for name in beside]


def _over() -> str:
    return "With one seed it speaks for other examples alone, with several for other seeds too."


def heads_of(meanings: Mapping[str, str]) -> list[Head]:
    """All columns of a table in their order."""
    return [Head(name, text) for name, text in meanings.items()]
