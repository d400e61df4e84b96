"""Where commands and the Python API look when nobody says otherwise; both count from the working folder."""

from __future__ import annotations

from pathlib import Path

OUT = Path("codyra-runs")
DATA = Path("data")
