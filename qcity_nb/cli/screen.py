"""How the command prints: tables and marks with colour in a terminal, plain lines anywhere else, JSON when asked. Nothing from outside is obeyed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client.city import QCity
from ..client.tables import COLOURS
from ..decide.health import Level
from ..decide.wording import line, visible

if TYPE_CHECKING:
    import argparse

    from rich.table import Table
    from typing_extensions import Self

FOLLOW_SECONDS = 0.2


def open_place(args: argparse.Namespace) -> QCity:
    """The place that the command is about; what it says unasked goes to stderr, so that JSON stays JSON."""
    from .. import open as open_city

    return open_city(getattr(args, "home", None), say=warn)


def warn(text: str) -> None:
    """A sentence that nobody asked for."""
    print(f"qcity: {visible(text)}", file=sys.stderr, flush=True)


def out(text: str = "") -> None:
    """A line of the answer."""
    print(visible(text), flush=True)


def put_json(shape: Any) -> int:
    """The documented shape; exit code 0."""
    print(json.dumps(shape, indent=2, ensure_ascii=False))
    return 0


class Mark(str):
    """A cell with the colour of a level; glyph and word are its text."""

    __slots__ = ("level",)
    level: Level

    def __new__(cls, level: Level, word: str) -> Self:
        """A glyph and a word."""
        self = super().__new__(cls, f"{level.glyph} {word}")
        self.level = level
        return self


def rich_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table for a terminal; names from outside are text, never markup."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in head:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(line(str(cell), limit=500), style=COLOURS[cell.level] if isinstance(cell, Mark) else "") for cell in row))
    return shown


def put_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table: rich in a terminal, aligned plain text elsewhere."""
    listed = [["" if cell is None else cell for cell in row] for row in rows]
    if not listed:
        out(empty)
        return
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(rich_table(head, listed))
        return
    texts = [list(head), *([line(str(cell), limit=500) for cell in row] for row in listed)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    for row in texts:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def put_facts(title: str, pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values below a title; empty values are left out."""
    out(title)
    for name, value in pairs:
        if value not in ("", None):
            first, *more = visible(str(value)).splitlines() or [""]
            out(f"  {name:<12} {first}")
            for text in more:
                out(f"  {'':<12} {text}")


def follow(path: Callable[[], Path | None], *, lines: int, over: Callable[[], bool]) -> None:
    """Print a log's last lines and what is added to it, until `over()` or Ctrl-C. A log that was cut is read from its new begin."""
    from ..io.files import tail

    found = path()
    for text in tail(found, lines=lines) if found else []:
        out(text)
    offset = found.stat().st_size if found and found.exists() else 0
    rest = b""
    while True:
        ended = over()
        found = path() or found
        if found and found.exists():
            if found.stat().st_size < offset:
                offset = 0
            with found.open("rb") as file:
                file.seek(offset)
                new = file.read(1 << 20)
            offset += len(new)
            whole, newline, rest = (rest + new).rpartition(b"\n")
            if newline:
                out(whole.decode("utf-8", "replace"))
            if new:
                continue
        if ended:
            return
        time.sleep(FOLLOW_SECONDS)
