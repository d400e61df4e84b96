"""LoRA whose update is damped when it is merged, a tiny benchmark and a search space: an example of a package outside the suite."""
