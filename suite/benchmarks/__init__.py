"""Benchmarks: builders of streams."""
