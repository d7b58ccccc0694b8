"""Which links a Markdown file, a page or a notebook has, with their lines, and which names can be jumped to. Pure.

Markdown's code is no link; what a renderer would not link is not looked at.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from ..model.linkcheck import Spot
from .linkspots import MARKDOWN

_FENCED = re.compile(r"^[ \t>]*(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE)
_COMMENT = re.compile(r"<!--[\s\S]*?(?:-->|\Z)")
_INLINE = re.compile(r"\]\(\s*(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*))(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*(?:<([^<>\n]*)>|(\S+))", re.MULTILINE)
_BARE = re.compile(r"(?<![\w\"'=/])https?://[^\s<>\"'`|\]]+|<(https?://[^<>\s]+)>")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$|^([^\n]+)\n(?:=+|-+)[ \t]*$", re.MULTILINE)
_NOT_ASKED = ("data:", "mailto:", "tel:", "javascript:", "about:", "attachment:")
_ATTRIBUTES = {"a": "href", "area": "href", "link": "href", **dict.fromkeys(("img", "iframe", "script", "source", "video", "audio"), "src")}


def links_of(path: str, text: str) -> list[Spot]:
    """The links of a file in the order in which they stand, each once for each line. A notebook that is none has no links."""
    name = path.lower()
    found: dict[tuple[int, str], None] = {}
    if name.endswith(".ipynb"):
        for at, source in _cells(text):
            found |= {(at, url): None for _, url in _in_markdown(source)}
    elif name.endswith((".html", ".htm")):
        found |= dict.fromkeys(_in_page(text))
    else:
        found |= dict.fromkeys(_in_markdown(text))
    return [Spot(path=path, line=line, url=url) for line, url in found if url and not url.startswith(_NOT_ASKED)]


def anchors_of(path: str, text: str) -> tuple[str, ...]:
    """The names that can be jumped to: of elements, and of Markdown's headings as GitHub makes them."""
    reader = _Page()
    reader.feed(text)
    names = dict.fromkeys(reader.names)
    if path.lower().endswith((*MARKDOWN, ".ipynb")):
        source = "\n".join(part for _, part in _cells(text)) if path.lower().endswith(".ipynb") else text
        counts: dict[str, int] = {}
        for match in _HEADING.finditer(_FENCED.sub("", source)):
            slug = _slug(match[1] or match[2])
            seen = counts[slug] = counts.get(slug, -1) + 1
            names[f"{slug}-{seen}" if seen else slug] = None
            names[re.sub(r"\s", "-", (match[1] or match[2]).strip())] = None  # as Jupyter names it
    return tuple(names)


def title_of(text: str) -> str:
    """The title of a page."""
    match = re.search(r"<title[^>]*>([\s\S]*?)</title>", text[:100_000], re.IGNORECASE)
    return " ".join(html.unescape(match[1]).split()) if match else ""


def _slug(heading: str) -> str:
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>|[`*]", lambda match: match[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def _in_markdown(text: str) -> Iterator[tuple[int, str]]:
    text = _FENCED.sub(lambda match: _blank(match[0]), text)
    parts: list[str] = []
    at = 0
    for start, end in _code(text):
        parts += (text[at:start], _blank(text[start:end]))
        at = end
    text = "".join((*parts, text[at:]))
    text = _COMMENT.sub(lambda match: _blank(match[0]), text)
    taken: list[tuple[int, int]] = []
    found: list[tuple[int, str]] = []
    for pattern in (_INLINE, _REFERENCE, _BARE):
        for match in pattern.finditer(text):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            if pattern is not _BARE:
                taken.append(match.span())
            url = next((group for group in match.groups() if group), match[0] if pattern is _BARE else "")
            found.append((match.start(), _trimmed(url) if pattern is _BARE and not match[1] else re.sub(r"\\(.)", r"\1", html.unescape(url))))
    reader = _Page()
    reader.feed(text)
    for line, url in reader.found:
        yield line, url
    for start, url in sorted(found):
        yield text.count("\n", 0, start) + 1, url


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Inline code: from a row of backticks to the next row of as many, as CommonMark has it."""
    rows = [match.span() for match in re.finditer(r"`+", text)]
    following: dict[int, list[int]] = {}
    for number, (start, end) in reversed(list(enumerate(rows))):
        following.setdefault(end - start, []).append(number)
    past = -1
    for number, (start, end) in enumerate(rows):
        same = following[end - start]
        same.pop()
        if number > past and same:
            past = same[-1]
            yield start, rows[past][1]


def _trimmed(url: str) -> str:
    """A bare address without what ends its sentence, as GitHub's autolinks are."""
    url = url.rstrip(".,;:!?*_~")
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip(".,;:!?")
    return url


def _in_page(text: str) -> Iterator[tuple[int, str]]:
    reader = _Page()
    reader.feed(text)
    yield from reader.found


def _cells(text: str) -> Iterator[tuple[int, str]]:
    """The Markdown cells of a notebook: number from 1 over all cells, source."""
    try:
        cells = json.loads(text).get("cells", [])
    except (ValueError, AttributeError, RecursionError):
        return
    for number, cell in enumerate(cells if isinstance(cells, list) else [], 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "markdown":
            source = cell.get("source", "")
            yield number, source if isinstance(source, str) else "".join(one for one in source if isinstance(one, str))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int, str]] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if (attribute := _ATTRIBUTES.get(tag)) and (url := given.get(attribute)) and given.get("rel") not in ("preconnect", "dns-prefetch"):
            self.found.append((self.getpos()[0], url.strip()))
        self.names += [name for name in (given.get("id"), given.get("name") if tag == "a" else None) if name]
