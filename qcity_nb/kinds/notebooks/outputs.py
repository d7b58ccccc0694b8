"""The output of a cell as it comes in: streams are joined while they arrive, nothing is lost, and what is more than the limit says so."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

LIMIT = 256 << 20
"""Bytes of output that a cell may have."""
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")


class Outputs:
    """What one cell printed and showed.

    Args:
        limit: characters of streams, and of data as text; what comes after is counted and left out, and a last output says so.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self.size, self.left_out = limit, 0, 0
        self._open: MutableMapping[str, Any] | None = None  # the stream that is still written to
        self._parts: list[str] = []

    def takes(self, size: int) -> int:
        """How much of so much more is kept; the rest is counted."""
        kept = max(0, min(size, self._limit - self.size))
        self.size += kept
        self.left_out += size - kept
        return kept

    def stream(self, outs: list[Any], name: str, text: str) -> bool:
        """Add to the stream that is open, if it is this one and still the last output; else False."""
        if self._open is None or not outs or outs[-1] is not self._open or self._open["name"] != name:
            return False
        self._parts.append(text)
        return True

    def opened(self, out: MutableMapping[str, Any]) -> None:
        """A stream begins."""
        self.flush()
        self._open, self._parts = out, [out["text"]]

    def flush(self) -> None:
        """Put what came in into the notebook."""
        if self._open is not None:
            self._parts = [settled("".join(self._parts))]
            self._open["text"] = self._parts[0]

    def close(self) -> str:
        """The end of the cell: what has to be said of what was left out, or an empty text."""
        self.flush()
        self._open, self._parts = None, []
        if not self.left_out:
            return ""
        kept, lost = _mb(self._limit), _mb(self.left_out)
        return f"[qcity: this cell may print {kept}; {lost} more came and are not kept. max_output sets the limit.]\n"


def settled(text: str) -> str:
    """What a terminal would show: a line that a carriage return began anew is gone (progress bars send thousands of them)."""
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size} characters"
