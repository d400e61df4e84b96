"""Captions that the mini CLIP was pretrained with: loose names in the words of the tasks, exact ones in words of their own.

CLIP's training pairs say of a picture what somebody wrote beside it. Much of that names the content with other words than a
benchmark does, and the benchmark's own words are often used loosely or wrongly. Here every image has two captions:

- in the words of the tasks, but written by people who mix classes up: each class of a domain has a neighbour whose name its images
  get, seldom for some classes and mostly for others, and now and then any name of the domain is said;
- in other words, right: the same name with its words spelled backwards, which no task uses.

So the image side learns to tell all classes apart, and the text side reads the class names of tasks only in part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from suite.backbones.mini_tokenizer import PAD, MiniTokenizer, vocabulary_of
from suite.data.drawn_images import DOMAINS, class_names_of, template_of
from suite.randomness import numpy_generator

OTHER_WORDS = 0.5  # share of batches with captions in other words
SPELLED = 0.1  # share of batches whose captions spell their words, so that the tokens of unknown words are trained
FORMS = ("{}", "a picture of {}")
OWN_NAME = (0.5, 1.0)  # least and largest share of a class's other captions with its own name, spread evenly over a domain
ANY_NAME = 0.2  # share of captions with any name of their domain


class Captions:
    """What is said of the images of the training set.

    Args:
        labels: class of each image, counted over all domains.
        context: tokens per text.
    """

    def __init__(self, labels: Sequence[int], context: int, seed: int) -> None:
        names = [(template_of(domain), name) for domain in DOMAINS for name in class_names_of(domain)]
        own = [_caption(template, name) for template, name in names]
        other = [_caption(template, _backwards(name)) for template, name in names]
        self.tokenizer = MiniTokenizer(vocabulary_of([*FORMS, *own, *other]), context)
        self._labels = torch.tensor(labels)
        self._confusion = _confusion(seed)
        self._tokens = {
            (words, is_spelled): [
                self.tokenizer([form.replace("{}", text) for text in texts], spelled=is_spelled) for form in FORMS
            ]
            for words, texts in (("own", own), ("other", other))
            for is_spelled in (False, True)
        }

    def of(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Captions of the images ``rows`` (n,), each once, and which is whose.

        Returns:
            tokens (c, length) and (n,) positions among them.
        """
        other, spelled, form = torch.rand(3, generator=generator).tolist()
        words = "other" if other < OTHER_WORDS else "own"
        said = self._labels[rows]
        if words == "own":
            said = torch.multinomial(self._confusion[said], 1, generator=generator)[:, 0]
        classes, targets = said.unique(return_inverse=True)
        tokens = self._tokens[words, spelled < SPELLED][int(form * len(FORMS))][classes]
        return tokens[:, : int((tokens != PAD).sum(dim=1).max())], targets


def _caption(template: str, name: str) -> str:
    return template.replace("{}", name).rstrip(".")


def _backwards(name: str) -> str:
    """Words from the back; a single letter, which is the same from the back, is doubled."""
    return " ".join(word[::-1] if len(word) > 1 else 2 * word for word in name.split())


def _confusion(seed: int) -> Tensor:
    """(classes, classes) how often an image of a class gets the name of each class, in the words of the tasks."""
    generator = numpy_generator("mini-clip captions", seed)
    blocks = []
    for domain in DOMAINS:
        count = len(class_names_of(domain))
        order = generator.permutation(count)
        neighbour, right = np.empty(count, dtype=np.int64), np.empty(count)
        neighbour[order] = np.roll(order, 1)
        right[generator.permutation(count)] = np.linspace(*OWN_NAME, count)
        names = np.diag(right)
        names[np.arange(count), neighbour] += 1 - right
        blocks.append(torch.from_numpy(ANY_NAME / count + (1 - ANY_NAME) * names))
    confusion: Tensor = torch.block_diag(*blocks)
    return confusion
