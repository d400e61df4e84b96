"""Where a data set may lie below the data root: folder names of torchvision and of CoOp, and the files it needs.

Sources: torchvision.datasets (folder names), KaiyangZhou/CoOp DATASETS.md, and the loaders of RAIL and MoRAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suite.errors import DataError

FOLDERS: dict[str, tuple[str, ...]] = {
    "aircraft": ("fgvc-aircraft-2013b/data", "fgvc_aircraft", "fgvc_aircraft/data", "fgvc-aircraft-2013b"),
    "caltech101": ("caltech101", "caltech-101"),
    "cifar100": ("cifar-100-python", "cifar-100-binary"),
    "dtd": ("dtd/dtd", "dtd"),
    "eurosat": ("eurosat",),
    "flowers": ("flowers-102", "oxford_flowers"),
    "food": ("food-101",),
    "mnist": ("MNIST/raw", "mnist/raw", "mnist"),
    "oxfordpet": ("oxford-iiit-pet", "oxford_pets"),
    "stanfordcars": ("stanford_cars",),
    "sun397": ("SUN397", "sun397/SUN397", "sun397"),
}
Need = str | tuple[str, ...]
"""A file or folder name, or several names of which one is enough."""


@dataclass(frozen=True)
class Place:
    """A data set that was found: its folder, and the folder above where the CoOp layout keeps some of its files."""

    folder: Path
    above: Path | None

    def path(self, need: Need) -> Path | None:
        """The first that exists of the names in ``need``, in the folder or, for plain files, in the one above."""
        for name in (need,) if isinstance(need, str) else need:
            for base in (self.folder, self.above):
                if base is not None and (base / name).exists():
                    return base / name
        return None

    def require(self, need: Need) -> Path:
        found = self.path(need)
        if found is None:
            raise DataError(f"{self.folder}: lacks {_spelled(need)}; restore it.")
        return found


def locate(root: Path, name: str, needs: tuple[Need, ...], pulled_as: str | None = None) -> Place:
    """The first folder of ``name`` below ``root`` that holds everything in ``needs``.

    Args:
        pulled_as: the name under which 'data pull' gets all of ``needs``; None = ``name``.

    Raises:
        DataError: nothing found; says which folders and files were looked for and how to get them.
    """
    lacking: dict[str, list[str]] = {}
    for candidate in FOLDERS[name]:
        folder = root / candidate
        if not folder.is_dir():
            continue
        place = Place(folder, folder.parent if folder.parent != root else None)
        missing = [_spelled(need) for need in needs if place.path(need) is None]
        if not missing:
            return place
        lacking[candidate] = missing
    looked = " or ".join(FOLDERS[name])
    wanted = ", ".join(_spelled(need) for need in needs)
    if not lacking:
        raise DataError(
            f"{root}: data set '{name}' is missing: looked for a folder {looked} with {wanted}; "
            f"run 'codyra-suite data pull {pulled_as or name}' or correct the data root."
        )
    found, missing = min(lacking.items(), key=lambda entry: len(entry[1]))
    raise DataError(
        f"{root / found}: data set '{name}' is incomplete: lacks {', '.join(missing)} (looked for a folder {looked} "
        f"with {wanted}); run 'codyra-suite data pull {pulled_as or name}', which loads or names what is missing."
    )


def _spelled(need: Need) -> str:
    return need if isinstance(need, str) else " or ".join(need)
