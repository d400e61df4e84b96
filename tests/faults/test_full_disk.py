"""A sweep on a disk that fills up: it says so, keeps what is finished, and goes on when there is space again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = """
run:
  benchmark: {name: mini-mtil, domains: [shapes, faces, digits], shots: 8}
  method: {name: codyra, kappa_levels: 3}
  training: {steps: 8}
space: codyra-quick
sampler: random
budget: {trials: 6}
"""
SCRIPT = """
mount -t tmpfs -o size=3m none small || exit 77
"$0" -m suite.cli.main sweep full.yaml --out small --tracking none 2>first.txt
echo $? >codes.txt
grep -l '"status": "finished"' small/runs/*/record.json >finished.txt
stat -c %Y%n $(cat finished.txt) >stamps.txt
mount -o remount,size=100m small
"$0" -m suite.cli.main sweep full.yaml --out small --tracking none --resume >second.txt
echo $? >>codes.txt
stat -c %Y%n $(cat finished.txt) | diff - stamps.txt && echo same >same.txt
"""


@pytest.mark.slow
def test_a_full_disk_ends_the_sweep_in_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare for a small file system of its own")
    (tmp_path / "full.yaml").write_text(SWEEP)
    (tmp_path / "small").mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, sys.executable]
    done = subprocess.run(command, cwd=tmp_path, env=environment, timeout=280, check=False, capture_output=True)
    if done.returncode == 77 or not (tmp_path / "codes.txt").is_file():
        pytest.skip(f"this machine allows no mount of a small file system: {done.stderr.decode()[-200:]}")
    assert (tmp_path / "codes.txt").read_text().split() == ["2", "0"]
    message = (tmp_path / "first.txt").read_text()
    assert "the disk is full" in message
    assert "--resume" in message
    assert "Traceback" not in message
    assert "6 finished" in (tmp_path / "second.txt").read_text()
    assert (tmp_path / "same.txt").is_file(), "a finished run was written again"
