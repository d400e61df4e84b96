"""Classes that the text side cannot tell apart: refused with both names, merged, or counted, never silently chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import open_clip
import pytest
import torch

from suite.backbones.class_prompts import ClassPrompts
from suite.backbones.clip import TOY, MiniClipConfig, OpenClipConfig
from suite.backbones.clip_learner import ClipLearner
from suite.backbones.same_prompts import require_told_apart, spoken
from suite.benchmarks.stream import ImageTask, LabelSpace, SharedClasses, Stream
from suite.data.examples import ImageExamples
from suite.data.image_facts import class_facts, stream_facts
from suite.errors import ConfigError

CPU = torch.device("cpu")
NAMELESS = "a photo"  # the same prompt for every class


@pytest.fixture
def task(mini_stream: Stream) -> ImageTask:
    found = mini_stream.tasks[0]
    assert isinstance(found, ImageTask)
    return found


def renamed(task: ImageTask, *names: str, template: str | None = None) -> ImageTask:
    """``task`` with its first classes renamed."""
    prompts = task.train_templates if template is None else (template,)
    classes = (*names, *task.class_names[len(names) :])
    return dataclasses.replace(task, class_names=classes, train_templates=prompts, eval_templates=prompts)


def build(tasks: Sequence[ImageTask], shared: SharedClasses = "refuse", protocol: LabelSpace = LabelSpace.UNION) -> ClipLearner:
    learner = MiniClipConfig().build(Stream("own", tasks, protocol, ("zscl.last",), shared_classes=shared), CPU)
    assert isinstance(learner, ClipLearner)
    return learner


@pytest.mark.parametrize("protocol", [LabelSpace.TASK, LabelSpace.UNION])
@pytest.mark.parametrize(
    ("names", "template"),
    [
        (("Circle", "circle"), None),
        (("circle", "circle  "), None),
        (("ci\u0301rcle", "c\u00edrcle"), None),
        (("sad", "happy"), NAMELESS),
    ],
)
def test_equal_classes_of_one_task_are_refused_with_both_names(
    names: tuple[str, str], template: str | None, protocol: LabelSpace, task: ImageTask
) -> None:
    with pytest.raises(ConfigError) as caught:
        build([renamed(task, *names, template=template)], "tie", protocol)
    said = str(caught.value)
    assert f"'{names[0]}'" in said and f"'{names[1]}'" in said and f"task '{task.name}'" in said
    assert "give the classes names that it can tell apart" in said


def test_evaluation_prompts_alone_may_be_equal(task: ImageTask) -> None:
    with pytest.raises(ConfigError, match="cannot tell the classes"):
        build([dataclasses.replace(task, eval_templates=(NAMELESS,))])


def test_many_names_are_listed_shortly(task: ImageTask) -> None:
    shown = ", ".join(f"'{name}'" for name in task.class_names[:5])
    with pytest.raises(ConfigError, match=f"classes {shown} and {len(task.class_names) - 5} more of task"):
        build([renamed(task, template=NAMELESS)])


def test_tasks_that_are_judged_alone_may_share_classes(task: ImageTask) -> None:
    learner = build([task, dataclasses.replace(task, name="twin")], protocol=LabelSpace.TASK)
    assert learner.facts() == {"notes": [TOY]}


def test_a_union_refuses_shared_classes_or_makes_them_one(task: ImageTask) -> None:
    twin = dataclasses.replace(renamed(task, task.class_names[0].upper()), name="twin")
    shout, name = task.class_names[0].upper(), task.class_names[0]
    with pytest.raises(
        ConfigError, match=f"'{name}' of task '{task.name}' and '{shout}' of task 'twin'.* benchmark.shared_classes=merge"
    ):
        build([task, twin])
    learner = build([task, twin], "merge")
    facts = learner.facts()
    assert facts["shared_prompts"] == len(task.class_names)
    assert facts["notes"] == [
        TOY,
        f"{len(task.class_names)} class prompts are shared by several tasks, the first by '{name}' of task '{task.name}' and "
        f"'{shout}' of task 'twin'; which are one class here",
    ]
    alone = build([task]).evaluate("test", [0])[0]
    for found in learner.evaluate("test", [0, 1]):
        assert np.array_equal(found.scores, alone.scores)
        assert found.ties == 0


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("adapted", [False, True])
def test_merged_classes_are_one_column_of_the_loss(plain: bool, adapted: bool, task: ImageTask) -> None:
    """Rows of both tasks judged among all seen classes cost what they cost in the one task alone."""
    merged, alone = build([task, dataclasses.replace(task, name="twin")], "merge"), build([task])
    rows, losses = torch.tensor([0, 5, 9]), []
    for learner, tasks in ((merged, torch.tensor([0, 1, 1])), (alone, torch.tensor([0, 0, 0]))):
        learner.plain = plain
        learner.begin_task(len(learner.tasks) - 1)
        for name, slot in learner.slots.items():
            slot.weight.requires_grad_(adapted and name.startswith("text"))
        output = learner.forward(learner.batch(tasks, rows, torch.Generator(), "seen"))
        assert output.logits.shape == (3, len(task.class_names))
        losses.append(output.loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    own = merged.batch(torch.tensor([0, 1]), rows[:2], torch.Generator())
    assert torch.isfinite(merged.forward(own).logits).all()
    assert merged.prompts.count((0, 1)) == len(task.class_names)


def test_classes_of_different_names_are_never_merged(task: ImageTask) -> None:
    one = dataclasses.replace(task, class_names=("cat",), train_templates=(NAMELESS,), eval_templates=(NAMELESS,))
    first, second = one, dataclasses.replace(one, name="twin", class_names=("dog",))
    for rule in ("refuse", "merge"):
        with pytest.raises(ConfigError, match=r"'cat' of task '\w+' and 'dog' of task 'twin' apart.* names that it can tell"):
            build([first, second], rule)  # type: ignore[arg-type]


def test_names_that_the_text_side_never_met_are_told_apart_and_the_backbone_is_called_a_toy(task: ImageTask) -> None:
    long = "a very long name that goes on and on and on and on "
    learner = build([renamed(task, "cat", "dog", "angry cat", "漢", "漢字", f"{long} a", f"{long} b")])
    assert learner.facts() == {}
    assert build([dataclasses.replace(renamed(task, "cat", "dog"), name="animals")]).facts() == {"notes": [TOY]}
    assert "--set backbone.name=open-clip" in TOY


def test_names_are_compared_as_they_are_spoken() -> None:
    assert spoken("Ice_\u00a0Skating ") == spoken("ice skating")
    assert spoken("cafe\u0301") == spoken("CAF\u00c9") != spoken("cafe")
    assert spoken("Ma\u00dfe") != spoken("Masse") and spoken("m\u00b2") != spoken("m2")


@pytest.mark.parametrize(("prompts", "count", "first"), [("codyra", 1, "pagoda"), ("rail-generic", 4, "lotus")])
def test_x_tail_itself_shares_prompts_between_sets(prompts: str, count: int, first: str) -> None:
    """With CLIP's own tokenizer: noted with their number, and no class of any one set equals another of it."""
    one = [ImageExamples(np.zeros((1, 3, 8, 8), np.uint8), np.zeros(1, np.int64), (split,)) for split in ("a", "b", "c")]
    tasks = []
    for name in stream_facts("xtail")["orders"]["I"]:
        template = (stream_facts("xtail")["sets"][name]["templates"][prompts],)
        tasks.append(ImageTask(name, *one, tuple(class_facts("xtail")[name]["names"]), template, template))
    stream = Stream("xtail", tasks, LabelSpace.UNION, ("zscl.last",), shared_classes="tie")
    tokenize = open_clip.get_tokenizer("ViT-B-16-quickgelu")
    facts = require_told_apart(ClassPrompts(tasks, tokenize, CPU), stream, "open-clip", OpenClipConfig.remedy)
    assert facts["shared_prompts"] == count
    assert f"'{first}' of task 'caltech101' and '{first}'" in facts["notes"][0]
    assert "counts for the first of them alone" in facts["notes"][0]


def test_pictures_of_another_size_are_refused(task: ImageTask) -> None:
    small = dataclasses.replace(task, train=dataclasses.replace(task.train, pixels=task.train.pixels[..., :16, :16]))
    with pytest.raises(ConfigError, match=r"are 16 x 16, backbone 'mini-clip' reads 32 x 32; set benchmark\.image_size=32"):
        build([small])
