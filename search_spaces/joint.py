"""Joint fine-tuning: its learning rate, as of full fine-tuning."""

from search_spaces.finetune import SPACE as FINETUNE
from suite.tuning.space import Space

SPACE = Space("joint", FINETUNE.parameters)
