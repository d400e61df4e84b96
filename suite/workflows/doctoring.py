"""Whether this machine can do what the suite does: libraries, devices, Ray, the tracker, disk, data and weights, one by one."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import Literal

import psutil
import torch

from suite.counting import counted
from suite.errors import SuiteError
from suite.missing_packages import missing_package
from suite.proxies import without_password
from suite.registry import BENCHMARKS
from suite.runs.provenance import ROOT, commit_and_dirty
from suite.tracking.trackers import tracker_for
from suite.workflows.arguments import PathGiven, TrackingGiven, WatcherGiven, checked
from suite.workflows.places import DATA, OUT, folder_named, results_folder
from suite.workflows.progress import QUIET, Watcher
from trainables.resources import Resources

State = Literal["ok", "absent", "wrong"]
LOCK = "requirements.lock"
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;]+)[ ]*(;?)", re.MULTILINE
)  # a semicolon: other systems or versions of Python alone
LEAST_DISK = 1.0  # GiB; a study of the embedded streams takes less
SHOWN = 5
LONGEST_REASON = 200  # characters
GIB = 2.0**30


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        state: ``absent`` is nothing wrong: it is not there, and only what needs it cannot be done.
        advice: what to do; empty where there is nothing to do.
    """

    what: str
    state: State
    found: str
    advice: str = ""


@checked
def doctor(
    *, out: PathGiven = OUT, data_root: PathGiven = DATA, tracking: TrackingGiven | None = None, watcher: WatcherGiven = QUIET
) -> list[Finding]:
    """Look at everything that runs need on this machine; nothing is trained and nothing stays behind.

    Args:
        out, data_root, tracking: as in ``run``.
    """
    place, data = folder_named(out), folder_named(data_root)
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "Python": _python,
        "libraries": _libraries,
        "GPU": _gpu,
        "Ray": _ray,
        "tracker": lambda: _tracker(tracking, place),
        "disk": lambda: _disk(place),
        "data": lambda: _data(data, watcher),
        "weights": _weights,
    }
    found: list[Finding] = []
    with watcher.begin("looking", len(checks)) as work:
        for number, (what, check) in enumerate(checks.items()):
            work.done(number, what)
            try:
                found += check()
            except SuiteError as error:
                found.append(Finding(what, "wrong", str(error)))
            except Exception as error:  # of whatever library: that it cannot even be asked is the finding
                if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)) is not None:
                    found.append(Finding(what, "absent", missing))
                    continue
                found.append(Finding(what, "wrong", " ".join(f"{type(error).__name__}: {error}".split())[:300]))
    return found


def _python() -> Iterator[Finding]:
    commit, is_dirty = commit_and_dirty()
    code = f"commit {commit[:12]}{' with changed files' if is_dirty else ''}" if commit else "an installed copy"
    fits = sys.version_info >= (3, 11)
    yield Finding(
        "Python",
        "ok" if fits else "wrong",
        f"{platform.python_version()} in {sys.prefix}",
        "" if fits else "make an environment with Python 3.11 or newer",
    )
    yield Finding("codyra-suite", "ok", f"{version('codyra-suite')}, {code}, in {ROOT}")


def _libraries() -> Iterator[Finding]:
    """The versions that are installed beside those that the suite was tested with."""
    yield Finding("PyTorch", "ok", f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}")
    file = ROOT / LOCK
    if not file.is_file():
        yield Finding("locked versions", "absent", f"no {LOCK} beside this installation")
        return
    lines = PIN.findall(file.read_text(encoding="utf-8"))
    pins = {name: pin for name, pin, condition in lines if not condition or _installed(name)}
    other = [f"{name} {there} instead of {pin}" for name, pin in pins.items() if (there := _installed(name)) not in (pin, "")]
    missing = [name for name in pins if not _installed(name)]
    told = f"{len(pins) - len(other) - len(missing)} of {counted(len(pins), 'package')} as in {LOCK}"
    several = other + [f"{name} is missing" for name in missing]
    shown = ", ".join(several[:SHOWN]) + (f", {len(several) - SHOWN} more" if len(several) > SHOWN else "")
    yield Finding(
        "locked versions",
        "wrong" if several else "ok",
        told + (f": {shown}" if several else ""),
        "run 'make setup'" if several else "",
    )


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _gpu() -> Iterator[Finding]:
    if not torch.cuda.is_available():
        yield Finding("GPU", "absent", "none that PyTorch can use; runs take the CPU")
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        free, _ = torch.cuda.mem_get_info(number)
        total = float(torch.ones(64, 64, device=f"cuda:{number}").matmul(torch.ones(64, 64, device=f"cuda:{number}")).sum())
        right = total == 64.0**3
        text = f"{properties.name}, {free / GIB:.0f} of {properties.total_memory / GIB:.0f} GiB free"
        advice = "" if right else "a product of matrices is wrong on it: update the driver"
        yield Finding(f"GPU cuda:{number}", "ok" if right else "wrong", text, advice)


def _ray() -> Iterator[Finding]:
    from suite.tuning.cluster import cluster_resources, ray_session

    address = os.environ.get("RAY_ADDRESS")
    if address is not None:
        there = cluster_resources(address, Resources())
        yield Finding(
            "Ray", "ok", f"{version('ray')}, cluster {address}: {there.get('CPU', 0):g} CPUs, {there.get('GPU', 0):g} GPUs"
        )
        return
    with ray_session(None, Resources()):
        pass
    yield Finding("Ray", "ok", f"{version('ray')}, a local one starts; {counted(os.cpu_count() or 1, 'core')}")


def _tracker(tracking: str | None, out: Path) -> Iterator[Finding]:
    with closing(tracker_for(tracking, out)) as tracker:
        shown = without_password(tracker.uri)
        place = tracker.local_place(tracker.uri)
        if place is not None and not place.exists():
            yield Finding("tracker", "ok", f"{shown}: the first run makes it")
            return
        try:
            tracker.check()
            count = sum(1 for _ in tracker.read_fields())
        except SuiteError:
            raise
        except Exception as error:  # of a library or a server that the suite knows nothing of
            advice = f"start the server, or name {tracker.usable} with --tracking"
            yield Finding("tracker", "wrong", f"{shown}: does not answer ({tracker.reason_of(error)})", advice)
            return
        yield Finding("tracker", "ok", f"{shown}: {counted(count, 'run')}")


def _disk(out: Path) -> Iterator[Finding]:
    place = results_folder(out).absolute()
    there = next(one for one in (place, *place.parents) if one.is_dir())
    free = shutil.disk_usage(there).free / GIB
    is_low = free < LEAST_DISK
    advice = "free space, or name a folder on another disk with --out" if is_low else ""
    yield Finding("disk", "wrong" if is_low else "ok", f"{out}: {free:.1f} GiB free", advice)
    memory = psutil.virtual_memory()
    yield Finding("memory", "ok", f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free")


def _data(data_root: Path, watcher: Watcher) -> Iterator[Finding]:
    """Which benchmarks can be read as they are; those of the user's own folders are left out."""
    readable, absent = [], []
    for name in BENCHMARKS.usable()[0]:
        if name.endswith("-folders") or any(one.is_required() for one in BENCHMARKS[name].model_fields.values()):
            continue
        with watcher.begin(f"reading {name}", None):
            try:
                BENCHMARKS[name].model_validate({}).open(data_root)
                readable.append(name)
            except SuiteError as error:
                absent.append((name, str(error)))
    embedded = "; embedded streams need none" if not data_root.is_dir() else ""
    yield Finding("data", "ok" if readable else "wrong", f"{data_root}: can be read: {', '.join(readable)}{embedded}")
    if absent:
        name, reason = absent[0]
        first = f" ({name}: {shorten(reason.removeprefix(f'{name}: ').rstrip('.'), LONGEST_REASON, placeholder=' ...')})"
        yield Finding(
            "data", "absent", f"{data_root}: not there: {', '.join(name for name, _ in absent)}{first}", "see docs/data.md"
        )


def _weights() -> Iterator[Finding]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound
    from safetensors.torch import load_file

    from suite.backbones.lm_network import MINI_LM
    from suite.backbones.pretrain_clip import load_mini_clip

    load_mini_clip()
    load_file(MINI_LM / "model.safetensors")
    yield Finding("weights", "ok", "shipped: mini CLIP and mini language model, whole")
    try:
        names = sorted(repository.repo_id for repository in scan_cache_dir().repos if repository.repo_type == "model")
    except CacheNotFound:
        names = []
    shown = ", ".join(names[:SHOWN]) + (f", {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    yield Finding("weights", "ok" if names else "absent", f"in the hub's cache: {shown or 'none'}")
