"""What every field of a config means, in one sentence, for ``list`` and for the reference of the documents.

A field is described where it is defined, below ``Attributes:`` in the docstring of its class or of a class above it. What is said
here is what many classes share, and what belongs to a file that is hashed into run ids and had no such line: a sentence there
would rename every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import cleandoc
from types import MappingProxyType

from pydantic import BaseModel

ITEM = re.compile(r"^    (\S.*(?:\n        .*)*)$", flags=re.MULTILINE)
SECTION = re.compile(r"^Attributes:\n((?: {4}.*(?:\n|\Z)|\n)*)", flags=re.MULTILINE)

# By field, or by class and field where a class means something of its own.
SAID_HERE: Mapping[str, str] = MappingProxyType(
    {
        "rank": "rank of the low-rank update of each adapted weight; of methods that prune, before pruning.",
        "alpha": "the update is multiplied by alpha / rank; null means a scale of 1.",
        "dropout": "share of the inputs of the low-rank branch that is set to zero in training.",
        "placement": "which weights are adapted; `codyra-suite list placements` shows the names.",
        "order": "order of the tasks.",
        "draw_seed": "decides which images are drawn for few-shot training and for validation; another number draws others.",
        "validation_share": "share of the training images of each class that is held out for validation, where the data set has no such part.",
        "validation_per_class": "validation images per class, at most.",
        "image_size": "side of the square that images are resized to, in pixels.",
        "eval_templates": "prompts in evaluation: the average over all templates of the data set, or the training template alone.",
        "BenchmarkConfig.limit": "rows per split and task, at most: the first ones, of images the first of every class before the second of any; "
        "null = all.",
        "LoraConfig.between": "what happens between tasks: `merge` adds the update to the weight, `carry` goes on with the same branch and "
        "optimizer state, `stack` freezes the branch and adds a new one.",
        "OLoraConfig.penalty": "how overlap of new and old subspaces is counted: sum of absolute values, or of squares.",
        "LwfVrConfig.number": "random texts that images are compared with.",
        "LwfVrConfig.words": "words in each of these texts.",
        "RailDualConfig.ridge": "strength of the ridge penalty.",
        "RailDualConfig.mix": "share of the regression's answer where the zero-shot answer points to a learned class.",
        "RandomPartsConfig.gate_init": "how the gates begin; as in `codyra`.",
        "ZsclConfig.reference_share": "reference pictures per step, as a share of the current batch.",
        "SndConfig.reach": "weight of the younger teacher per unit of distance; 0 is `zscl`.",
        "IclConfig.demonstrations": "solved training rows in front of every prompt.",
        "CausalLMConfig.model": "hub id, or the path of a local folder or of a GGUF file.",
        "ImageFoldersConfig.folder": "folder of the domains, relative to the data root.",
        "ImageFoldersConfig.domains": "the domains to learn, in this order; null = all, sorted by name.",
        "ImageFoldersConfig.protocol": "classes that a test image is judged among: those of its own task, or the union of all tasks.",
        "ImageFoldersConfig.shared_classes": "a class that several domains of a union have: refused, or one class.",
        "ImageFoldersConfig.shots": "training images per class; null = all.",
        "ImageFoldersConfig.validation_share": "share of each class of `train` that is held out for validation, at least one image.",
        "ImageFoldersConfig.templates": "prompts with `{}` in the place of the class name; the first is used in training, evaluation averages over all.",
        "ImageFoldersConfig.cached": "decode once per machine instead of once per run; for more than some thousand images.",
        "RunConfig.benchmark": "the stream of tasks, by its name or with its fields.",
        "RunConfig.method": "the method that learns it, by its name or with its fields.",
        "RunConfig.backbone": "the pretrained network; by itself the one that the benchmark names.",
        "RunConfig.training": "budget and optimizer of every task; by itself the budget of the benchmark.",
        "RunConfig.references": "a reference set, for methods that distil on one.",
        "RunConfig.seed": "seed of everything that is drawn in training and initialisation, not of the images.",
        "TaskTraining.steps": "optimizer steps of this task.",
        "TaskTraining.lr": "learning rate of this task.",
        "TrainingConfig.steps": "optimizer steps per task.",
        "TrainingConfig.epochs": "passes over the training rows of each task, in the place of steps; where both are null the benchmark's own.",
        "TrainingConfig.batch_size": "training rows per optimizer step.",
        "TrainingConfig.micro_batch_size": "rows per forward pass, at most batch_size; gradients are added up over a step. Null = the whole batch at once.",
        "TrainingConfig.lr": "learning rate at the start of the schedule.",
        "TrainingConfig.optimizer": "the optimizer of every task.",
        "TrainingConfig.schedule": "of the learning rate over the steps of a task: falls along a cosine to 0, or stays.",
        "TrainingConfig.warmup_steps": "first steps of a task in which the learning rate rises linearly.",
        "TrainingConfig.beta1": "of adamw and adam: decay of the first moment.",
        "TrainingConfig.beta2": "of adamw and adam: decay of the second moment.",
        "TrainingConfig.epsilon": "of adamw and adam: added to the root of the second moment.",
        "TrainingConfig.momentum": "of sgd.",
        "TrainingConfig.weight_decay": "decoupled weight decay of adamw, an L2 term of adam and sgd; methods may set their own per parameter group.",
        "TrainingConfig.label_smoothing": "share of the target that is spread over all classes.",
        "TrainingConfig.clip_norm": "gradients with a larger norm are scaled down to it; null = never.",
        "TrainingConfig.precision": "number format of training; `auto`, for a run alone, is bf16 on GPUs that have it, else fp32.",
        "TrainingConfig.eval_precision": "number format of evaluation; `auto` takes bf16 on GPUs that have it, else that of training.",
        "TrainingConfig.encoders": "`at_once` encodes a CLIP's class names beside its images on a GPU, on a stream of their own; the same numbers but for what dropout draws.",
        "TrainingConfig.kernels": "`triton` adds a CLIP's branches in the kernels behind its maps, under bf16 alone; equal up to rounding, never required.",
        "TrainingConfig.deterministic": "sums in a fixed order on GPUs too, somewhat slower; false for a network with an operation that "
        "has no such form.",
        "TrainingConfig.per_task": "task name -> learning rate or steps of its own; what it leaves null is the run's.",
        "MtilFields.order": "order of the tasks: I is alphabetical, II the second order of ZSCL.",
        "XtailConfig.order": "order of the tasks: I is alphabetical, II that of LADA.",
        "TraceConfig.order": "order of the tasks: 1 is the canonical one, 2 that of the paper's ablation.",
        "StandardCLConfig.order": "which of the three orders of O-LoRA's paper.",
    }
)


def meanings(config: type[BaseModel]) -> dict[str, str]:
    """Field -> what it means, for every field of ``config`` that is described somewhere.

    The nearest class of the inheritance that says something wins; in one class what is said here before its docstring.
    """
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        prefix = f"{base.__name__}."
        own = {key.removeprefix(prefix): text for key, text in SAID_HERE.items() if key.startswith(prefix)}
        found |= attributes_of(base) | own
    return {name: said for name in config.model_fields if (said := found.get(name) or SAID_HERE.get(name))}


def attributes_of(owner: type) -> dict[str, str]:
    """Name -> text of the section ``Attributes:`` of a class's own docstring; ``a, b: text`` describes both."""
    section = SECTION.search(cleandoc(owner.__dict__.get("__doc__") or ""))
    found: dict[str, str] = {}
    for item in ITEM.findall(section[1] if section else ""):
        names, _, text = item.partition(":")
        found |= {name.strip(): " ".join(text.split()).replace("``", "`") for name in names.split(",")}
    return found
