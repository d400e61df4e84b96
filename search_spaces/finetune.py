"""Full fine-tuning: its learning rate, which is best far below that of low-rank methods."""

from suite.tuning.space import LogUniform, Space

SPACE = Space("finetune", {"training.lr": LogUniform(1e-6, 5e-3)})
