"""A scripted agent's words: its console and its log in `_diag`.

Line by line as the real one's (`Terminal.cs`, `HostTraceListener.cs` of actions/runner).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

_BANNER = r"""
--------------------------------------------------------------------------------
|        ____ _ _   _   _       _          _        _   _                      |
|       / ___(_) |_| | | |_   _| |__      / \   ___| |_(_) ___  _ __  ___      |
|      | |  _| | __| |_| | | | | '_ \    / _ \ / __| __| |/ _ \| '_ \/ __|     |
|      | |_| | | |_|  _  | |_| | |_) |  / ___ \ (__| |_| | (_) | | | \__ \     |
|       \____|_|\__|_| |_|\__,_|_.__/  /_/   \_\___|\__|_|\___/|_| |_|___/     |
|                                                                              |
|                       Self-hosted runner registration                        |
|                                                                              |
--------------------------------------------------------------------------------"""


def universal() -> str:
    """The time as .NET's format `u` has it, and as every line has it."""
    return f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%SZ}"


class Log:
    """A file in `_diag`: `[2026-01-02 03:04:05Z INFO Source] text`.

    Args:
        root: the agent's folder.
        prefix: `Runner` or `Worker`.
    """

    def __init__(self, root: Path, prefix: str) -> None:
        self._prefix, self._lock = prefix, threading.Lock()
        self._streams = os.environ.get("ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT", "").lower() in {"1", "true"}
        (root / "_diag").mkdir(parents=True, exist_ok=True)
        self.path = root / "_diag" / f"{prefix}_{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-utc.log"
        self._file = self.path.open("ab", buffering=0)
        self.muted = False

    def write(self, source: str, text: str, *, level: str = "INFO") -> None:
        """One line. CRIT, `ERR `, WARN, INFO or VERB, which is not written: the real one writes it on demand only."""
        line = f"[{universal()} {level:4} {source}] {text}\n"
        with self._lock:
            if not self.muted and level != "VERB":
                self._file.write(line.encode())
        if self._streams:
            out(f"[{self._prefix.upper()} {line[1:-1]}")

    def close(self) -> None:
        """No more lines."""
        self._file.close()


class Console(Log):
    """The listener's console, mirrored into its log, but for what the real one does not mirror."""

    def line(self, text: str = "") -> None:
        """A plain line."""
        self.write("Terminal", f"WRITE LINE: {text}")
        self._out(text)

    def stamped(self, text: str) -> None:
        """A line that begins with the time."""
        self.line(f"{universal()}: {text}")

    def error(self, text: str) -> None:
        """A line of stderr."""
        self.write("Terminal", f"WRITE ERROR: {text}", level="ERR ")
        if not self.muted:
            out(text, to=2)

    def stamped_error(self, text: str) -> None:
        """A line of stderr that begins with the time."""
        self.error(f"{universal()}: {text}")

    def success(self, text: str) -> None:
        """A line with a tick; not mirrored."""
        self._out(f"√ {text}")

    def section(self, text: str) -> None:
        """A heading; not mirrored."""
        self._out(f"\n# {text}\n")

    def banner(self) -> None:
        """What `configure` begins with."""
        self._out(_BANNER)

    def _out(self, text: str) -> None:
        if not self.muted:
            out(text)


def out(text: str, *, to: int = 1) -> None:
    """A line of stdout or stderr in UTF-8, whatever the locale; nobody listening is no error, as with .NET."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        stream = sys.stdout.buffer if to == 1 else sys.stderr.buffer
        stream.write(f"{text}\n".encode())
        stream.flush()
