"""The log of one attempt: appended to while it runs, never larger than its bound."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

BOUND = 64 << 20


class JobLog:
    """A log file that stops growing at `bound` bytes with a sentence that says so.

    Args:
        path: the file; an older one of the same name is replaced.
    """

    def __init__(self, path: Path, *, bound: int = BOUND) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._left = path, bound
        self._file = path.open("wb", buffering=0)
        path.chmod(0o600)

    def write(self, lines: Iterable[str]) -> None:
        """Append lines; past the bound nothing is written any more. A full disk loses log lines, not the job."""
        raw = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        if not raw or self._left <= 0:
            return
        if len(raw) > self._left:
            raw = raw[: self._left] + b"\n(the log is cut here: it has reached its bound)\n"
            self._left = 0
        self._left -= len(raw)
        try:
            self._file.write(raw)
        except OSError:
            self._left = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
