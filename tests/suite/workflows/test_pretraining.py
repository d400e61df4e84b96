"""Both small networks side by side: the same files as one by one, nothing left running, a failure named."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.workflows.pretraining import _pretrain
from suite.workflows.progress import QUIET


@pytest.mark.slow
def test_side_by_side_writes_what_each_writes_alone(tmp_path: Path) -> None:
    _pretrain(tmp_path / "both", ["clip", "lm"], 0, 20, QUIET)
    _pretrain(tmp_path / "alone", ["lm"], 0, 20, QUIET)
    _pretrain(tmp_path / "alone", ["clip"], 0, 20, QUIET)
    files = {path.relative_to(tmp_path / "both") for path in (tmp_path / "both").rglob("*") if path.is_file()}
    assert len(files) >= 6
    for name in files:
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


@pytest.mark.slow
def test_what_ended_the_second_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "mini_lm").write_text("a file where its folder would be")
    with pytest.raises(SuiteError, match=r"mini lm was not made \(.*mini_lm.*try --which lm alone"):
        _pretrain(tmp_path, ["clip", "lm"], 0, 20, QUIET)
    assert (tmp_path / "mini_clip.safetensors").is_file()
