"""Data behind the benchmarks: readers, draws, caches, manifests."""
