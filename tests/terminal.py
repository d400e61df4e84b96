"""Commands as they are typed: run under a pseudo-terminal of a given width, without a shell, and what then stands on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select

from rich.cells import cell_len

ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")


@dataclass(frozen=True)
class Shown:
    """What a command left behind.

    Attributes:
        code: its exit code; the negative number of a signal that ended it.
        lines: what stands on the screen, without colours and without what a progress bar drew over.
        width: of the terminal, in columns.
    """

    code: int
    lines: tuple[str, ...]
    width: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def require_whole(self) -> None:
        """Fail unless the command succeeded and every table fits the terminal with nothing cut."""
        assert self.code == 0 and "Traceback" not in self.text, self.text
        ruled = [place for place, line in enumerate(self.lines) if line.startswith("───")]
        rows = [line for place in ruled for line in (self.lines[place - 1], self.lines[place], self.lines[place + 1])]
        assert [line for line in rows if cell_len(line.rstrip()) > self.width or "…" in line] == [], self.text


def run_in_terminal(
    command: Sequence[str | Path],
    folder: Path,
    *,
    width: int = 80,
    seconds: float = 280,
    environment: Mapping[str, str] | None = None,
) -> Shown:
    """Run ``command`` in ``folder`` with a terminal of its own on input, output and errors.

    Raises:
        AssertionError: it takes longer than ``seconds``; its session is then ended.
    """
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    given = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI")
    }
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env={**given, "TERM": "xterm", "OMP_NUM_THREADS": "1", **(environment or {})},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        written = _read(mine, time.monotonic() + seconds)
        process.wait(timeout=250)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(mine)
    return Shown(process.returncode, tuple(screen_lines(written)), width)


def suite(*arguments: str | Path) -> list[str]:
    """``codyra-suite`` of this environment with these arguments."""
    return [sys.executable, "-m", "suite.cli.main", *map(str, arguments)]


def _read(terminal: int, deadline: float) -> bytes:
    """Everything until the other side is closed."""
    found = bytearray()
    while True:
        if not select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"still running; so far:\n{found.decode(errors='replace')[-3000:]}")
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the last writer has gone
            return bytes(found)
        if not part:
            return bytes(found)
        found += part


def screen_lines(written: bytes) -> list[str]:
    """What stands on the screen: lines without escapes; of a line that was written over, what was written last."""
    text = ESCAPES.sub(b"", written.replace(b"\r\n", b"\n")).decode(errors="replace")
    return [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
