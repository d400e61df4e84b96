"""State at a task boundary, in two safetensors files per task: what was merged (kept) and the rest (see ``drop_state``).

The backbone itself is never stored: W_0 plus the merged factors, applied in order, is the network bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from suite.errors import DamagedRun, SuiteError
from suite.files import atomic_write
from suite.lowrank.journal import Journal
from suite.lowrank.layer import Branch, Factors, Slot
from suite.randomness import RandomStreams
from suite.runs.record import TaskResult
from suite.runs.store import CHECKPOINTS
from trainables.method import Method

RUN_ID = "run_id"  # in the files' metadata
Layout = dict[str, dict[str, Any]]  # <slot>/<branch> -> scale, enabled, dropout, names of trainable tensors, has a middle


class Checkpoints:
    """Files ``merged_<k>.safetensors`` for every finished task k (from 1) and ``state_<k>.safetensors`` for the last one, or for all.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.folder = folder / CHECKPOINTS
        self.run_id = run_id

    def save(
        self, row: int, journal: Journal, method: Method, random: RandomStreams, optimizer: dict[str, Tensor]
    ) -> dict[str, str]:
        """Write both files of task ``row`` and return their checksums; the state of the task before stays until ``drop_state``."""
        added = journal.tasks[-1]
        merged = {
            f"{name}/{n}/{part}": getattr(f, part)
            for name, fs in added.items()
            for n, f in enumerate(fs)
            for part in ("a", "b")
        }
        digests = {"merged": self._write(f"merged_{row}", merged, {})}
        branches, layout = branch_tensors(journal.slots)
        tensors = {f"branch/{key}": value for key, value in branches.items()}
        tensors |= {f"method/{key}": value for key, value in method.state().items()}
        tensors |= {f"module/{key}": value for key, value in module_tensors(method).items()}
        tensors |= {f"random/{key}": value for key, value in random.state().items()}
        tensors |= {f"optimizer/{key}": value for key, value in optimizer.items()}
        return {**digests, "state": self._write(f"state_{row}", tensors, {"branches": json.dumps(layout)})}

    def take(self, other: Checkpoints, result: TaskResult) -> dict[str, str]:
        """Store the files of the row ``result`` of another run as this run's own and return their checksums.

        Raises:
            DamagedRun: they are not what they were, or gone.
        """
        digests = {}
        for kind in ("merged", "state"):
            tensors, metadata = other._read(f"{kind}_{result.row}", result.digests[kind])
            digests[kind] = self._write(f"{kind}_{result.row}", tensors, {k: v for k, v in metadata.items() if k != RUN_ID})
        return digests

    def drop_state(self, row: int) -> None:
        """Forget how to go on from after task ``row``: for when a record says that a later one is finished."""
        self._path(f"state_{row}").unlink(missing_ok=True)

    def load(self, results: Sequence[TaskResult], journal: Journal, method: Method, random: RandomStreams) -> dict[str, Tensor]:
        """Bring network, branches, method and generators to the state after the tasks of ``results``; returns optimizer tensors.

        Raises:
            DamagedRun: a file is missing, damaged, not the one that the results name, or belongs to another run.
        """
        for result in results:
            journal.apply(self.merged(result))
        tensors, metadata = self._read(f"state_{results[-1].row}", results[-1].digests.get("state"))
        restore_branches(journal.slots, _under(tensors, "branch/"), json.loads(metadata["branches"]))
        method.load_state(_under(tensors, "method/"))
        for key, module in method.modules().items():
            module.load_state_dict(_under(tensors, f"module/{key}/"))
        restore_middles(journal.slots, _under(tensors, "branch/"), json.loads(metadata["branches"]))
        journal.remember_live()
        random.load(_under(tensors, "random/"))
        return _under(tensors, "optimizer/")

    def merged(self, result: TaskResult) -> dict[str, list[Factors]]:
        """What was added to each slot after the task of ``result``, in order."""
        tensors, _ = self._read(f"merged_{result.row}", result.digests.get("merged"))
        places = sorted({tuple(key.rsplit("/", 2)[:2]) for key in tensors}, key=lambda place: (place[0], int(place[1])))
        found: dict[str, list[Factors]] = {}
        for name, number in places:
            found.setdefault(name, []).append(Factors(tensors[f"{name}/{number}/a"], tensors[f"{name}/{number}/b"]))
        return found

    def complete(self, row: int) -> bool:
        """True if a run can go on from after task ``row``."""
        needed = [f"merged_{k}" for k in range(1, row + 1)] + [f"state_{row}"]
        return all(self._path(name).is_file() for name in needed)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def _write(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
        ready = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        data = save(ready, metadata={RUN_ID: self.run_id, **metadata})
        atomic_write(self._path(name), data)
        return hashlib.sha256(data).hexdigest()

    def _read(self, name: str, promised: str | None) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and metadata of a file; ``promised`` is its checksum where the record has one."""
        path = self._path(name)
        try:
            with path.open("rb") as stream:
                if promised not in (None, hashlib.file_digest(stream, "sha256").hexdigest()):
                    raise DamagedRun(
                        f"{path}: has changed since the run wrote it (its checksum differs); put back a copy, or remove the run's "
                        "folder to start it again."
                    )
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                # Copied to where torch would have put them: products are summed in another order at another alignment.
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DamagedRun(f"{path}: cannot be read ({error}); remove the run's folder to start it again.") from None
        if metadata.get(RUN_ID) != self.run_id:
            raise DamagedRun(f"{path}: belongs to run {metadata.get(RUN_ID)}, not {self.run_id}; remove the folder.")
        return tensors, metadata


def branch_tensors(slots: dict[str, Slot]) -> tuple[dict[str, Tensor], Layout]:
    """Live branches as tensors ``<slot>/<branch>/<a|b|gate>`` and what a tensor cannot hold."""
    tensors: dict[str, Tensor] = {}
    layout: Layout = {}
    for name, slot in slots.items():
        for key in slot.parts:
            branch = slot.part(key)
            if not isinstance(branch, Branch):
                continue  # one of the method's modules
            tensors |= {f"{name}/{key}/{part}": value for part, value in branch.named_parameters()}
            layout[f"{name}/{key}"] = {
                "scale": branch.scale,
                "enabled": branch.enabled,
                "dropout": branch.dropout,
                "trainable": [part for part, value in branch.named_parameters() if value.requires_grad],
                "middle": branch.middle is not None,
            }
    return tensors, layout


def module_tensors(method: Method) -> dict[str, Tensor]:
    """What a method's modules hold, as ``<module>/<name>``."""
    return {f"{key}/{name}": value for key, module in method.modules().items() for name, value in module.state_dict().items()}


def restore_branches(slots: dict[str, Slot], tensors: dict[str, Tensor], layout: Layout) -> None:
    """Inverse of ``branch_tensors`` for all but middles: the slots get exactly these branches."""
    for slot in slots.values():
        for key in [key for key in slot.parts if isinstance(slot.parts[key], Branch) and f"{slot.name}/{key}" not in layout]:
            del slot.parts[key]
    for place, facts in layout.items():
        slot, key = _place(slots, place)
        gate = tensors.get(f"{place}/gate")
        middle = slot.branch(key).middle if key in slot.parts else None  # of one that the method attached
        branch = Branch(tensors[f"{place}/a"], tensors[f"{place}/b"], gate, scale=facts["scale"], middle=middle)
        branch.enabled, branch.dropout = facts["enabled"], facts["dropout"]
        _set_trainable(branch, facts)
        slot.parts[key] = branch.to(slot.weight.device)


def restore_middles(slots: dict[str, Slot], tensors: dict[str, Tensor], layout: Layout) -> None:
    """Tensors of what the method has put between A x and B of its branches again; a checkpoint cannot hold its code.

    Raises:
        SuiteError: a branch that had a middle has none.
    """
    for place, facts in layout.items():
        slot, key = _place(slots, place)
        branch = slot.branch(key)
        if facts.get("middle") and branch.middle is None:
            raise SuiteError(
                f"checkpoint: branch '{key}' of {slot.name} had a middle and its method's load_state gave it none; "
                "set Branch.middle there."
            )
        if isinstance(branch.middle, nn.Module):
            branch.middle.load_state_dict(_under(tensors, f"{place}/middle."))
            _set_trainable(branch, facts)


def _place(slots: dict[str, Slot], place: str) -> tuple[Slot, str]:
    name, _, key = place.partition("/")
    return slots[name], key


def _set_trainable(branch: Branch, facts: Mapping[str, Any]) -> None:
    for part, value in branch.named_parameters():
        value.requires_grad_(part in facts["trainable"])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimizer as ``<parameter index>/<name>`` tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": torch.as_tensor(value) for index, part in state.items() for name, value in part.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Inverse of ``optimizer_tensors`` for an optimizer over the same parameters in the same order."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
