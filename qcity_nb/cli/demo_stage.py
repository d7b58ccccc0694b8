"""Where the demo plays: lines that stay, and one line that moves in a terminal and is a new line for each change anywhere else."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..client.tables import COLOURS
from ..decide.health import Level
from ..decide.wording import visible

_MARKS = {"✔": Level.WELL, "✖": Level.BAD, "▶": Level.WARN, "↻": Level.REPAIRING}


class Stage:
    """The screen of the demo; closing it twice is harmless."""

    def __init__(self) -> None:
        self._console = Console(highlight=False) if sys.stdout.isatty() else None
        self._live: Live | None = None
        self._last = ""

    def line(self, glyph: str, word: str, text: str) -> None:
        """A line that stays."""
        self._put(Text.assemble((f" {glyph} ", COLOURS[_MARKS[glyph]] if glyph in _MARKS else ""), f"{word:<12} ", visible(text)))

    def more(self, word: str, text: str) -> None:
        """A line that belongs to the one above it."""
        self._put(Text.assemble("   ", (f"{word:<12} ", "dim"), visible(text)))

    def plain(self, text: str = "") -> None:
        """A line without a mark."""
        self._put(Text(visible(text)))

    def progress(self, text: str, *, moving: str = "") -> None:
        """The line that moves: `text` changes with what happens, `moving` (a duration) all the time."""
        if self._console is None:
            if text != self._last:
                self.line("▶", "jobs", text)
                self._last = text
            return
        if self._live is None:
            self._live = Live(console=self._console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(Text.assemble((" ▶ ", COLOURS[Level.WARN]), f"{'jobs':<12} ", visible(text), f" {moving}"))

    def still(self) -> None:
        """Take the moving line away."""
        self._last = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _put(self, text: Text) -> None:
        self.still()
        if self._console is None:
            print(text.plain.rstrip(), flush=True)
        else:
            self._console.print(text, soft_wrap=True)
