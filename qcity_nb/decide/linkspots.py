"""Where in a file addresses may be changed: marked regions, kept regions, the sources of a notebook's cells, and spots that a person names. Pure.

Byte offsets only. JSON, YAML and TOML are looked through, never written: a file keeps its spelling. Markers in Markdown's fenced or inline code are
examples and no markers; addresses in fenced code are links like all others, because people copy them from there.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from .toml_lines import index as toml_index

Span = tuple[int, int]
Mark = tuple[int, int, bytes, bytes, bytes]
_NAMED = rb"(/?)qcity:(link|keep)(?:[ \t]+([\w.-]+))?"
_COMMENT = re.compile(rb"<!--\s*" + _NAMED + rb"\s*-->")
_LINE = re.compile(rb"^[ \t]*(?:#|//)[ \t]*" + _NAMED + rb"[ \t]*\r?$", re.MULTILINE)
_IN_STRING = re.compile(rb"(?:\"|\\n)[ \t]*#[ \t]*" + _NAMED + rb"[ \t]*(?=\\n|\")")
_FENCE = re.compile(rb"^[ \t>]*(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})([^\r\n]*)\r?$", re.MULTILINE)
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(strict=False)
MARKDOWN = (".md", ".markdown", ".mdx", ".rmd", ".qmd")
DEEP = (json.JSONDecodeError, RecursionError, yaml.YAMLError)
"""What a file that is no JSON or YAML, or too deep, makes its parser raise."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Of one file: regions of tunnels (start, end, name), regions that nobody touches, where edits are allowed (None: everywhere), what is odd."""

    regions: tuple[tuple[int, int, str], ...] = ()
    kept: tuple[Span, ...] = ()
    allowed: tuple[Span, ...] | None = None
    remarks: tuple[tuple[int, bytes, str], ...] = ()

    def allows(self, start: int, end: int, kept: tuple[Span, ...]) -> bool:
        """Whether these bytes may change, kept regions left alone."""
        if any(start < last and first < end for first, last in kept):
            return False
        if self.allowed is None:
            return True
        place = bisect.bisect_right(self.allowed, (start, 1 << 62)) - 1
        return place >= 0 and end <= self.allowed[place][1]


def layout(path: str, data: bytes) -> Layout:
    """How a file is laid out."""
    name = path.lower()
    if name.endswith(".ipynb"):
        sources = tuple(_sources(data))
        inside = Layout(allowed=sources)
        return _paired(sorted(mark for mark in _marks(data, _COMMENT, _IN_STRING) if inside.allows(mark[0] + 1, mark[1], ())), data, sources)
    if b"qcity:" not in data or name.endswith((".json", ".jsonc", ".geojson", ".webmanifest")):
        return Layout()
    marks = sorted(_marks(data, _COMMENT) if name.endswith((*MARKDOWN, ".html", ".htm")) else _marks(data, _COMMENT, _LINE))
    if name.endswith(MARKDOWN):
        fences = list(_fenced(data))
        marks = [mark for mark in marks if not any(first <= mark[0] < last for first, last in fences) and b"`" not in _beside(data, mark)]
    return _paired(marks, data, None)


def _beside(data: bytes, mark: Mark) -> bytes:
    return data[max(mark[0] - 1, 0) : mark[0]] + data[mark[1] : mark[1] + 1]


def is_spot(text: str) -> bool:
    """Whether a text names a spot: `/a/b/0`, or `[LABEL]`."""
    return bool(re.fullmatch(r"(?:/[^/]*)+|\[[^\[\]]+\]", text))


def find(path: str, data: bytes, spot: str) -> Span | None:
    """The bytes of a spot's value; None when there is none."""
    name = path.lower()
    if spot.startswith("["):
        found = re.search(rb"^ {0,3}" + re.escape(spot.encode()) + rb":[ \t]*(\S+)", data, re.MULTILINE | re.IGNORECASE)
        return found.span(1) if found else None
    parts = [part.replace("~1", "/").replace("~0", "~") for part in spot.split("/")[1:]]
    try:
        if name.endswith((".yml", ".yaml")):
            return _in_yaml(data, parts)
        if name.endswith(".toml"):
            return _in_toml(data, parts)
        return _in_json(data.decode("latin-1"), 3 if data.startswith(b"\xef\xbb\xbf") else 0, parts)
    except DEEP:
        return None


def _marks(data: bytes, *patterns: re.Pattern[bytes]) -> Iterator[Mark]:
    for pattern in patterns:
        for match in pattern.finditer(data):
            yield (*match.span(), match[1], match[2], match[3] or b"")


def _paired(marks: list[Mark], data: bytes, allowed: tuple[Span, ...] | None) -> Layout:
    regions: list[tuple[int, int, str]] = []
    kept: list[Span] = []
    odd: list[tuple[int, bytes, str]] = []
    begun: dict[bytes, Mark] = {}
    for mark in marks:
        start, end, closes, what, name = mark
        text = data[start:end].strip()
        if not closes and what in begun:
            odd.append((start, text, "it begins inside of another one"))
        elif not closes and what == b"link" and not name:
            odd.append((start, text, "it names no tunnel"))
        elif not closes:
            begun[what] = mark
        elif what not in begun:
            odd.append((start, text, "it ends what never began"))
        elif what == b"link":
            first = begun.pop(what)
            regions.append((first[1], start, first[4].decode()))
        else:
            kept.append((begun.pop(what)[0], end))
    for what, mark in begun.items():
        odd.append((mark[0], data[mark[0] : mark[1]].strip(), "it has no end" + (": all below it is left alone" if what == b"keep" else "")))
        if what == b"keep":
            kept.append((mark[0], len(data)))
    return Layout(regions=tuple(regions), kept=tuple(kept), allowed=allowed, remarks=tuple(odd))


def _fenced(data: bytes) -> Iterator[Span]:
    """Fenced code, as CommonMark has it; a fence without an end reaches to the end."""
    begin, fence = 0, b""
    for match in _FENCE.finditer(data):
        if not fence:
            if not (match[1].startswith(b"`") and b"`" in match[2]):
                begin, fence = match.start(), match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            yield begin, match.end()
            fence = b""
    if fence:
        yield begin, len(data)


# -- JSON, by the standard library's own scanner: text is latin-1, so that an index is an offset


def _past(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match
    return match.end()


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Key, begin and end of each value of an object; nothing when it is none."""
    if text[at : at + 1] != "{":
        return
    at = _past(text, at + 1)
    while text[at : at + 1] == '"':
        key, at = _DECODER.raw_decode(text, at)
        begin = _past(text, _past(text, at) + 1)
        end = _end(text, begin)
        yield key.encode("latin-1", "replace").decode("utf-8", "replace"), begin, end
        at = _past(text, end)
        at = _past(text, at + 1) if text[at : at + 1] == "," else at


def _elements(text: str, at: int) -> Iterator[Span]:
    """Begin and end of each element of an array; nothing when it is none."""
    if text[at : at + 1] != "[":
        return
    at = _past(text, at + 1)
    while text[at : at + 1] not in ("]", ""):
        end = _end(text, at)
        yield at, end
        at = _past(text, end)
        at = _past(text, at + 1) if text[at : at + 1] == "," else at


def _in_json(text: str, at: int, parts: list[str]) -> Span | None:
    at = _past(text, at)
    found = (at, _end(text, at))
    for part in parts:
        below = {key: (begin, end) for key, begin, end in _members(text, found[0])}
        below |= {str(number): one for number, one in enumerate(_elements(text, found[0]))}
        if part not in below:
            return None
        found = below[part]
    return found


def _sources(data: bytes) -> Iterator[Span]:
    """The string tokens below the cells' `source` of a notebook, in their order; none when it is no notebook."""
    text = data.decode("latin-1")
    try:
        for key, begin, _ in list(_members(text, _past(text, 3 if data.startswith(b"\xef\xbb\xbf") else 0))):
            for cell, _ in _elements(text, begin) if key == "cells" else ():
                for name, first, last in _members(text, cell):
                    if name == "source":
                        yield from _elements(text, first) if text[first] == "[" else ((first, last),)
    except DEEP:
        return


# -- YAML and TOML: spots only

_VALUE = re.compile(r"=\s*(\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|\[[^\]]*\]|.*)")


def _in_yaml(data: bytes, parts: list[str]) -> Span | None:
    text = data.decode()
    documents = yaml.compose_all(text, Loader=yaml.SafeLoader)
    node = next(iter(documents), None)
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
        else:
            return None
    if node is None:
        return None
    return len(text[: node.start_mark.index].encode()), len(text[: node.end_mark.index].encode())


def _in_toml(data: bytes, parts: list[str]) -> Span | None:
    text = data.decode()
    lines = text.splitlines(keepends=True)
    found = toml_index(text)
    inside = ""
    number = found.get(tuple(parts))
    if number is None and len(parts) > 1:  # in an inline table
        number, inside = found.get(tuple(parts[:-1])), parts[-1]
    if number is None:
        return None
    begin = len("".join(lines[: number - 1]))
    inline = rf"(?:[{{,]\s*)[\"']?{re.escape(inside)}[\"']?\s*=\s*(\"[^\"\n]*\"|'[^'\n]*')"
    value = (re.compile(inline) if inside else _VALUE).search(text, begin)
    if not value or (inside and "\n" in text[begin : value.start()]):
        return None
    return len(text[: value.start(1)].encode()), len(text[: value.end(1)].encode())
