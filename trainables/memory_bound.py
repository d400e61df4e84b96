"""A run's share of memory as a real bound, so that one that needs more fails alone and can be run again with a larger share."""

from __future__ import annotations

import resource

import torch

from trainables.resources import Resources

GIB = 2**30
PAGES_FIELD = 5  # of /proc/self/statm: data and stack, in pages, which is what RLIMIT_DATA counts


def bound_memory(resources: Resources) -> None:
    """Bound this process: on a GPU to its share of the card, on the host (Linux) to what it holds now plus ``memory_gib``."""
    if resources.gpus and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(min(1.0, resources.gpus))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if resources.memory_gib is None:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - a kernel table
            held = int(file.read().split()[PAGES_FIELD]) * resource.getpagesize()
    except FileNotFoundError:
        return  # macOS, which has no such table and holds nobody to RLIMIT_DATA
    bound = held + int(resources.memory_gib * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))
