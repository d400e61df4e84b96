"""What is said where a library is not installed: one run needs few of them, the commands around it more."""

from __future__ import annotations

from types import MappingProxyType

OWN = ("suite", "trainables", "baselines", "search_spaces")
DISTRIBUTIONS = MappingProxyType({"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "open_clip": "open_clip_torch"})


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What is missing and how to add it, as the end of a sentence; None where the module is one of the suite's own."""
    module = (error.name or "").partition(".")[0]
    if not module or module in OWN:
        return None
    package = DISTRIBUTIONS.get(module, module)
    return f"needs the Python package {package}, which is not installed here; 'pip install {package}' adds it"
