"""Benchmark and hyperparameter suite for continual learning with low-rank adaptation."""

__version__ = "0.1.0"
