"""Training step and evaluation of CLIP: the fast forward against the plain one, on the same data and weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from suite.backbones.clip import ClipLearner, MiniClipConfig, OpenClipConfig
from suite.benchmarks.mini import MiniMtilConfig
from suite.benchmarks.stream import ImageExamples, ImageTask, Protocol, Stream
from suite.config import TrainingConfig
from suite.perf import PerfRow, compare_times
from suite.randomness import RandomStreams, numpy_generator
from trainables.codyra import CodyraConfig
from trainables.method import Step, TaskContext
from trainables.run import choose_device


def measure_step(backbone: str, batch_size: int, repeats: int, device_name: str, threads: int) -> list[PerfRow]:
    """Rows for the step (forward, backward, optimizer, threshold) and for evaluation."""
    torch.set_num_threads(threads)
    device = choose_device(device_name)
    stream = _stream(backbone)
    config = MiniClipConfig() if backbone == "mini-clip" else OpenClipConfig(model=backbone, pretrained=None)
    learner = config.build(stream, device)
    assert isinstance(learner, ClipLearner)
    step = _stepper(learner, batch_size)

    def training(plain: bool) -> None:
        learner.plain = plain
        step()

    def evaluation(plain: bool) -> None:
        learner.plain = plain
        learner.evaluate("test", [0])

    return [
        compare_times("training step", lambda: training(True), lambda: training(False), repeats=repeats, device=device),
        compare_times("evaluation", lambda: evaluation(True), lambda: evaluation(False), repeats=repeats, device=device),
    ]


def _stepper(learner: ClipLearner, batch_size: int) -> Callable[[], None]:
    random = RandomStreams(0)
    method = CodyraConfig().build()
    method.attach(learner, random)
    learner.begin_task(0)
    context = TaskContext(0, learner.stream.tasks[0], 100, batch_size, learner, random)
    method.begin_task(context)
    training = TrainingConfig()
    parameters = [{"params": group.parameters} for group in method.parameter_groups()]
    optimizer = torch.optim.AdamW(parameters, lr=training.lr, betas=(training.beta1, training.beta2), fused=True)
    rows = torch.arange(batch_size) % len(learner.stream.tasks[0].train)

    def one_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        batch = learner.batch(torch.zeros_like(rows), rows, random["augment"])
        output = learner.forward(batch)
        output.loss.backward()
        optimizer.step()
        method.after_step(Step(99, 100, training.lr, [batch], [output]))

    return one_step


def _stream(backbone: str) -> Stream:
    if backbone == "mini-clip":
        return MiniMtilConfig(domains=("shapes",)).stream(Protocol.TASK)
    random = numpy_generator("perf", backbone)
    names = tuple(f"class {index}" for index in range(100))

    def examples(count: int, split: str) -> ImageExamples:
        pixels = random.integers(0, 256, (count, 3, 224, 224), dtype=np.uint8)
        return ImageExamples(pixels, np.arange(count) % 100, tuple(f"{split}/{index}" for index in range(count)))

    template = ("a photo of a {}.",)
    task = ImageTask("noise", examples(64, "train"), examples(8, "validation"), examples(32, "test"), names, template, template)
    return Stream("noise", [task], Protocol.TASK, ("zscl.last",))
