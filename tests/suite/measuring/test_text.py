from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from suite.backbones.causal_learner import CausalLearner
from suite.backbones.causal_lm import CausalLMConfig, MiniLMConfig
from suite.backbones.clip import MiniClipConfig
from suite.benchmarks.mini import MiniMtilConfig
from suite.benchmarks.mini_trace import MiniTraceConfig
from suite.benchmarks.standard_cl import StandardCLConfig
from suite.benchmarks.trace import TraceConfig
from suite.data.buckets import length_bucketed_order, padding_share
from suite.measuring.text import compare_generation, measure_text

CPU = torch.device("cpu")


def test_rows_of_the_embedded_stream() -> None:
    rows = measure_text(MiniTraceConfig(tasks=("Py150", "ScienceQA")).build(Path()), MiniLMConfig(), CPU)
    kinds = [row.name.split(": ")[1] for row in rows]
    assert kinds == ["padding", "training", "generation"] * 2 + ["generation"] * 2
    assert all("equal answers" in row.note for row in [*rows[2:-2:3], rows[-1]])
    assert rows[0].fast < 15 < rows[0].plain
    assert all(row.plain > 0 and row.fast > 0 for row in rows if "padding" not in row.name)
    assert rows[5].fast > 3 * rows[5].plain  # far below what is reached, so that a busy machine does not fail it


def test_measuring_leaves_no_branch_behind() -> None:
    stream = MiniTraceConfig(tasks=("FOMC",)).build(Path())
    learner = MiniLMConfig().build(stream, CPU)
    assert isinstance(learner, CausalLearner)
    _, _, equal = compare_generation(learner, [learner.texts.prompts(0, "test")[0].ids], 4)
    assert equal
    assert not any(slot.parts for slot in learner.slots.values())


def test_images_are_refused(tmp_path: Path) -> None:
    stream = MiniMtilConfig(domains=("shapes",), shots=1).build(tmp_path)
    with pytest.raises(Exception, match="is no language model"):
        measure_text(stream, MiniClipConfig(), CPU)  # type: ignore[arg-type]


@pytest.mark.real_data
@pytest.mark.parametrize("batch_size", [4, 8])
def test_padding_on_the_real_slices_is_below_15_percent(batch_size: int, real_data: Callable[[str], Path]) -> None:
    """At the full windows of the release as far as the model's own 512 tokens allow."""
    model = str(real_data("tiny_lm_real/stories260k"))
    for stream in (
        TraceConfig(folder="trace_real").build(real_data("trace_real").parent),
        StandardCLConfig().build(real_data("standard_cl_real")),
    ):
        learner = CausalLMConfig(model=model).build(stream, CPU)
        for task in range(len(stream)):
            lengths = learner.lengths(task)
            assert lengths is not None
            order = length_bucketed_order(lengths, batch_size, torch.Generator().manual_seed(0))
            assert padding_share(lengths, order) < 0.15, stream.task_names[task]
