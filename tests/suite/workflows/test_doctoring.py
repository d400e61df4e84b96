"""The doctor names what is wrong and goes on with the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from suite.workflows import doctoring


def test_what_differs_from_the_lock_and_what_cannot_be_asked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.lock").write_text(
        "numpy==0.1\nno-such-package==1.0\nnor-this==2 ; sys_platform == 'win32'\n# torch==9\n"
    )
    monkeypatch.setattr(doctoring, "ROOT", tmp_path)
    (locked,) = (one for one in doctoring._libraries() if one.what == "locked versions")
    assert locked.state == "wrong" and locked.found.startswith("0 of 2 packages as in requirements.lock: numpy ")
    assert "instead of 0.1, no-such-package is missing" in locked.found
    (away,) = doctoring._tracker("http://127.0.0.1:9", tmp_path)
    assert away.state == "wrong" and "does not answer" in away.found
    (none,) = doctoring._tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    assert none.state == "ok" and not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_the_command_looks_at_everything(tmp_path: Path) -> None:
    for out, code in (("runs", 0), ("/proc/nope", 1)):
        command = [sys.executable, "-m", "suite.cli.main", "doctor", "--json", "--out", out]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
        found = json.loads(done.stdout)
        assert done.returncode == code, found
        assert {"Python", "PyTorch", "Ray", "tracker", "disk", "data", "weights"} <= {one["what"] for one in found}
        assert [one["what"] for one in found if one["state"] == "wrong"] == ([] if code == 0 else ["disk"])
    assert list(tmp_path.iterdir()) == []
