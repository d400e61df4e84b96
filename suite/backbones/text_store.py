"""Token rows of a text stream, encoded on first use and counted: what was cut, where, how often."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from suite.benchmarks.stream import Stream, TextTask
from suite.benchmarks.text_scores import score
from suite.counting import counted
from suite.data.demonstrations import choose_demonstrations, instruction_of, with_demonstrations
from suite.data.examples import SPLITS, Split, TextExamples
from suite.data.text import PromptRow, TextEncoder, TokenRow


class TextStore:
    """Training rows and prompts of every task, by index in the stream.

    Args:
        demonstrations: task -> solved training rows in front of each of its prompts.
        ends: tokens that end an answer.
    """

    def __init__(self, stream: Stream, encoder: TextEncoder, demonstrations: Mapping[int, int], ends: Collection[int]) -> None:
        self.scoring = stream.scoring or ""
        self.ends = ends
        self.tasks = [task for task in stream.tasks if isinstance(task, TextTask)]
        self.encoder = encoder
        self.demonstrations = dict(demonstrations)
        self.training = cache(self._training)
        self.prompts = cache(self._prompts)
        self.demonstration_rows = cache(self._demonstration_rows)

    def examples(self, task: int, split: Split) -> TextExamples:
        found: TextExamples = getattr(self.tasks[task], split)
        return found

    def limit(self, task: int) -> int:
        """Most tokens that are generated for a task."""
        return min(self.tasks[task].max_new_tokens, self.encoder.answer_window)

    def _training(self, task: int) -> list[TokenRow]:
        return self._supervised(task, "train")

    def supervised(self, task: int, split: Split) -> list[TokenRow]:
        """Rows of a split with their answers, as training lays them out."""
        return self.training(task) if split == "train" else self._supervised(task, split)

    def _supervised(self, task: int, split: Split) -> list[TokenRow]:
        found = self.examples(task, split)
        return self.encoder.training_rows(found.prompts, found.answers)

    def _prompts(self, task: int, split: Split) -> list[PromptRow]:
        prompts: Sequence[str] = self.examples(task, split).prompts
        if self.demonstrations[task]:
            train, rows = self.tasks[task].train, self.demonstration_rows(task)
            instruction = instruction_of(train.prompts)
            prompts = [with_demonstrations(instruction, train, rows, prompt) for prompt in prompts]
        return self.encoder.prompt_rows(prompts)

    def _demonstration_rows(self, task: int) -> list[int]:
        """Rows whose tokens leave at least half of the window to the prompt itself."""
        count = self.demonstrations[task]
        if not count:
            return []
        instruction = self.encoder.prompt_rows([instruction_of(self.tasks[task].train.prompts) or "\n"])[0]
        most = (self.encoder.prompt_window - len(instruction.ids)) // (2 * count)
        rows = self.training(task)
        return choose_demonstrations(
            self.tasks[task].train,
            count,
            lambda row: not rows[row].prompt_cut and len(rows[row].ids) <= most,
            key=(self.tasks[task].name,),
        )

    def facts(self, task: int) -> dict[str, Any]:
        """Counts of one task over rows; windows in tokens."""
        rows = self.training(task)
        cut, long, lost = {}, {}, {}
        for split in SPLITS:
            if split != "train":
                cut[split] = sum(row.cut for row in self.prompts(task, split))
                long[split] = self._out_of_reach(task, split)
                lost[split] = self._lost(task, split)
        facts: dict[str, Any] = {
            "prompt_window": self.encoder.prompt_window,
            "answer_window": self.encoder.answer_window,
            "rows": {split: len(self.examples(task, split)) for split in SPLITS},
            "prompts_cut_on_the_left": {"train": sum(row.prompt_cut for row in rows), **cut},
            "train_answers_cut": sum(row.answer_cut for row in rows),
            "answers_over_the_limit": long,
            "answers_changed_by_the_tokenizer": lost,
            "boundary_inside_a_token": sum(row.straddles for row in rows),
            **({"demonstrations": len(self.demonstration_rows(task))} if self.demonstrations[task] else {}),
        }
        return {**facts, "notes": self._notes(task, facts)}

    def _out_of_reach(self, task: int, split: Split) -> int:
        """Answers that take more tokens than are generated; none where the letter at their beginning is all that is scored."""
        if self.tasks[task].metric == "letter":
            return 0
        lengths = self.encoder.answer_lengths(self.examples(task, split).answers)
        return sum(length > self.limit(task) for length in lengths)

    def _lost(self, task: int, split: Split) -> int:
        """Answers that score lower than themselves once they went through the tokenizer and back."""
        examples, metric = self.examples(task, split), self.tasks[task].metric
        rows = zip(self.encoder.come_back(examples.answers, self.ends), examples.answers, examples.prompts, strict=True)
        return sum(
            score(metric, self.scoring, found, answer, prompt) < score(metric, self.scoring, answer, answer, prompt)
            for found, answer, prompt in rows
            if found != answer
        )

    def _notes(self, task: int, facts: dict[str, Any]) -> list[str]:
        """One sentence for everything that was cut."""
        name, limit = self.tasks[task].name, self.limit(task)
        notes = [
            f"{name}: {count} of {counted(facts['rows'][split], f'{split} prompt')} cut on the left to {self.encoder.prompt_window} tokens"
            for split, count in facts["prompts_cut_on_the_left"].items()
            if count
        ]
        notes += [
            f"{name}: {count} of {counted(facts['rows'][split], f'{split} answer')} longer than the {limit} tokens that are generated"
            for split, count in facts["answers_over_the_limit"].items()
            if count
        ]
        notes += [
            f"{name}: {count} of {counted(facts['rows'][split], f'{split} answer')} changed on the way through the tokenizer and back"
            for split, count in facts["answers_changed_by_the_tokenizer"].items()
            if count
        ]
        counts = (
            ("train_answers_cut", "train answer", f"cut to {self.encoder.answer_window} tokens"),
            ("boundary_inside_a_token", "train row", "with one token across the end of the prompt, which is supervised"),
        )
        notes += [
            f"{name}: {facts[key]} of {counted(facts['rows']['train'], noun)} {what}"
            for key, noun, what in counts
            if facts[key]
        ]
        wanted, found = self.demonstrations[task], facts.get("demonstrations", 0)
        return [*notes, f"{name}: {found} of {counted(wanted, 'demonstration')} in the window"] if found < wanted else notes
