"""Which line of a TOML text a key stands on: the standard library's parser does not tell. Knows tables, keys and strings over several lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_\-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_\-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)$")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_\-]+)")

Path = tuple[str, ...]


def index(text: str) -> dict[Path, int]:
    """The line (from 1) where each table and key first stands."""
    found: dict[Path, int] = {}
    table: Path = ()
    until = ""  # what ends the multi-line string we are in
    for number, line in enumerate(text.splitlines(), 1):
        if until:
            if until in line:
                until = ""
            continue
        if header := _HEADER.match(line):
            table = _parts(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table + _parts(key[1])
            for depth in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:depth], number)
            for quote in ('"""', "'''"):
                if key[2].count(quote) % 2:
                    until = quote
    return found


def line_of(found: Mapping[Path, int], path: Sequence[str]) -> int:
    """The line of a key, or of the nearest table around it."""
    for depth in range(len(path), 0, -1):
        if tuple(path[:depth]) in found:
            return found[tuple(path[:depth])]
    return 1


def _parts(dotted: str) -> Path:
    return tuple(next(group for group in match.groups() if group is not None) for match in _PART.finditer(dotted))
