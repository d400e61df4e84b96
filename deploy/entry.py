"""What `ray submit deploy/cluster.yaml deploy/entry.py -- SWEEP.yaml ...` runs on the head: the suite's own entry point.

`ray submit` copies this file to the head's home folder and calls it with whatever `python` is there; the suite lives in the
environment that cluster.yaml's setup made, so this hands over to that one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PYTHON = Path.home() / "codyra-suite" / ".venv" / "bin" / "python"

if __name__ == "__main__":
    if not PYTHON.is_file():
        sys.exit(f"entry.py: {PYTHON}: no such file; run 'ray up deploy/cluster.yaml' first, which sets it up.")
    os.execv(PYTHON, [str(PYTHON), "-m", "suite.cli.entry", *sys.argv[1:]])
