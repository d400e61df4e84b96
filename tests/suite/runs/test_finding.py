"""One way to name a run: folder, id, beginning, tag, name; what means several is refused with all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.errors import ConfigError
from suite.runs.finding import find_run, meant
from suite.runs.labels import Labels, change_labels
from suite.runs.store import RunStore


def test_a_run_is_found_by_all_its_names(some_runs: Path) -> None:
    store = RunStore(some_runs)
    lora = next(run for run in store.all().runs if run.record.method == "lora")
    change_labels(lora.folder, lambda _: Labels(tags=("best one",)))
    run_id = lora.record.run_id
    for name in (run_id, run_id[:8], str(lora.folder), "best one", "mini-mtil lora seed 1", "mini-mtil lora"):
        assert find_run(store, name).record.run_id == run_id, name
    for name, reason in {"mini-mtil": "2 runs are called like this", "": "no such run", "best": "no such run"}.items():
        with pytest.raises(ConfigError, match=rf"run '{name}': {reason}"):
            find_run(store, name)


def test_an_id_is_never_mistaken_for_a_tag() -> None:
    labels = {"bad2": Labels(tags=("bad1", "ba"))}
    assert meant("bad1", ["bad1", "bad2"], labels, dict) == ["bad1"]
    assert meant("ba", ["bad1", "bad2"], labels, dict) == ["bad1", "bad2"]
    assert meant("bad", ["bad1", "0000"], {"0000": Labels(tags=("bad",))}, dict) == ["bad1", "0000"]
