"""Which bytes of a file are an address that we issued, and what takes their place. Pure: bytes in, edits out; nothing else in the file changes.

Only exact origins count, and only where nothing before or after makes another address of them: `app.evil.com` is not `app`. An address that is
percent-encoded, escaped or cut by a line's end is seen and said, never changed.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import BadInput
from ..model.link import Edit, Edits, Remark, Wanted
from ..model.tunnel import Issued
from . import linkspots
from .linkspots import Span

SLASHES = rb"(?:\\?/){2}"
ANY = re.compile(rb"https?:" + SLASHES + rb"(?:[\w-]+(?:\.[\w-]+)*|\[[0-9a-f:.]+\])(?::\d+)?", re.IGNORECASE)
"""Scheme, host and port of any address, in JSON's spelling of a slash too."""
_ORIGIN = re.compile(r"(https?)://((?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)|\[[0-9a-f:.]+\])(:\d{1,5})?((?:/[\w.~-]+)*)", re.IGNORECASE)
_BEFORE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
_PLAIN_AFTER = frozenset(bytes([one]) for one in b" \t\r\n/?#\"'`()<>[]{},;|*=!$^~") | {b""}
_AFTER = re.compile(rb"[\w@%-]|:\d|\.(?:[\w/%]|:\d|\\[/ux])|\\[x._@:-]|&(?:#|period;|hyphen;|dash;|commat;|colon;|lowbar;|percnt;)")
_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:([abfnrtv])|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))\Z")
_AHEAD = re.compile(rb"\\u([0-9a-fA-F]{4})")
_DOTS = "\u3002\uff0e\uff61"
"""What browsers read as a dot in a host's name (UTS #46)."""
HISTORIES = re.compile(
    r"(?:.*/)?(?:changelog|changes|history|news|release[-_ ]?notes?)(?:[-_. ][^/]*)?\.?(?<!\.json)(?<!\.yml)(?<!\.yaml)(?<!\.toml)|(?:.*/)?\.git/.*",
    re.IGNORECASE,
)
"""Paths that are never touched: they tell what was."""
FORMATS = ("md", "markdown", "json", "yaml", "yml", "toml", "html", "htm", "ipynb", "rst", "txt")
"""Files that are looked at below a folder that a person names."""
MOST_REMARKS = 100
"""Of one file; more would only be scrolled past."""
SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".ipynb_checkpoints", ".tox", ".mypy_cache"})
"""Folders that no pattern reaches into."""


def origin_of(text: str) -> str:
    """An address of ours as it is compared: scheme, host, and port where it is not the usual one; a provider's path stays, a last slash goes.

    Raises:
        BadInput: it is no http or https address, or has more than that.
    """
    match = _ORIGIN.fullmatch(text.strip().removesuffix("/"))
    if not match:
        raise BadInput(f'"{text}" is no origin', "An origin is a scheme, a host and a port, as https://app.example.org or http://127.0.0.1:8888")
    scheme, host, port, path = match[1].lower(), match[2].lower(), match[3] or "", match[4]
    return f"{scheme}://{host}{'' if (scheme, port) in (('https', ':443'), ('http', ':80')) else port}{path}"


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What replaces what.

    Args:
        tunnel: whose address it is; empty when a person replaces one by hand.
        new: the origin from now on.
        old: those that it replaces.
        shared: origins that other tunnels were issued too: replaced in marked places only.
    """

    tunnel: str
    new: str
    old: tuple[str, ...]
    shared: tuple[str, ...] = ()


def aim(issued: Iterable[Issued], *, tunnel: str, new: str) -> Aim:
    """What the ledger of all addresses makes of a tunnel's new one. Raises `BadInput` for a new one that is no origin."""
    mine: dict[str, None] = {}
    others: set[str] = set()
    for one in issued:
        if one.tunnel == tunnel:
            mine[origin_of(one.origin)] = None
        else:
            others.add(origin_of(one.origin))
    to = origin_of(new)
    old = [origin for origin in mine if origin != to]
    return Aim(tunnel=tunnel, new=to, old=tuple(one for one in old if one not in others), shared=tuple(one for one in old if one in others))


@dataclass(frozen=True, kw_only=True)
class Rewriter:
    """An aim for files that patterns choose: `docs/**/*.md`, `app.json#/links/app`, `README.md#[app]`; `!pattern` takes back.

    Args:
        paths: files that were named, whatever characters they are made of.

    Raises:
        BadInput: a pattern leads out of its folder, or names no spot.
    """

    aim: Aim
    patterns: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            path, mark, spot = pattern.removeprefix("!").partition("#")
            if not path.strip() or path.startswith(("/", "~")) or ".." in path.split("/"):
                raise BadInput(f'the pattern "{pattern}" leads out of its folder', "Write it relative to the folder, as docs/**/*.md")
            if mark and not linkspots.is_spot(spot):
                raise BadInput(f'"{pattern}" names no spot', "A spot is written app.json#/links/app, or README.md#[app] for a reference link")

    @property
    def tunnel(self) -> str:
        """Whose address it is; empty when a person replaces one by hand."""
        return self.aim.tunnel

    @property
    def literal(self) -> tuple[str, ...]:
        """Paths that were named without a wildcard."""
        plain = (pattern.partition("#")[0] for pattern in self.patterns if not pattern.startswith("!"))
        return tuple(dict.fromkeys((*self.paths, *(path for path in plain if not _WILD.search(path)))))

    @property
    def walks(self) -> bool:
        """Whether folders have to be looked through."""
        return any(_WILD.search(pattern.partition("#")[0]) for pattern in self.patterns if not pattern.startswith("!"))

    def wants(self, path: str) -> Wanted | None:
        """Whether a file is meant, and what of it."""
        whole = path in self.paths
        spots: list[str] = []
        for pattern in self.patterns:
            name, _, spot = pattern.removeprefix("!").partition("#")
            if not _glob(name).fullmatch(path):
                continue
            if pattern.startswith("!"):
                whole, spots = False, []
            elif spot:
                spots.append(spot)
            else:
                whole = True
        return Wanted(whole=whole, spots=tuple(spots)) if whole or spots else None

    def enters(self, folder: str) -> bool:
        """Whether files in a folder could be meant, so that nobody walks through the others."""
        return folder.rpartition("/")[2] not in SKIPPED and any(_leads(pattern.partition("#")[0], folder) for pattern in self.patterns)

    def read(self, path: str, data: bytes, wanted: Wanted, *, seen: bool = True) -> Edits:
        """What a file needs; `seen`: also what is left alone."""
        return read(path, data, self.aim, wanted, seen=seen)


_WILD = re.compile(r"[*?\[]")


@functools.lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    """`**/` any folders, `*` and `?` no slash, `[ab]` one of these; everything else is itself."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part) or (_one_of(part[1:-1]) if part[:1] == "[" else re.escape(part)) for part in parts))


def _one_of(inside: str) -> str:
    return f"[{re.escape(inside)}]".replace("\\-", "-")


@functools.lru_cache(maxsize=4096)
def _leads(pattern: str, folder: str) -> bool:
    parts, names = pattern.split("/"), folder.split("/")
    for position, name in enumerate(names):
        if position < len(parts) and "**" in parts[position]:
            return not pattern.startswith("!")
        if position >= len(parts) - 1 or not _glob(parts[position]).fullmatch(name):
            return False
    return True


def read(path: str, data: bytes, aim: Aim, wanted: Wanted, *, seen: bool = True) -> Edits:
    """What a file needs so that the addresses of an aim are right in it. A file of which nothing may be touched says why, if it has any of them.

    Args:
        seen: also look for what is not changed; a second pass can do without.
    """
    labels = _labels((*aim.old, *aim.shared))
    lower = data.lower()
    if wanted.whole and not wanted.spots and not any(label in lower for label in labels) and (not aim.tunnel or b"qcity:link" not in lower):
        return Edits(remarks=tuple(_cut(path, data, lower, (*aim.old, *aim.shared))) if seen and not path.lower().endswith(".ipynb") else ())
    if HISTORIES.fullmatch(path):
        return Edits(remarks=tuple(_remark(path, data, start, data[start:end], "the file tells what was") for start, end in _hits(lower, aim)))
    if why := _untouchable(data):
        return Edits(refused=why)
    layout = linkspots.layout(path, data)
    hits = _hits(lower, aim)
    edits: list[Edit] = []
    remarks: list[Remark] = [_remark(path, data, at, text, why) for at, text, why in layout.remarks[:MOST_REMARKS]]
    if wanted.whole:
        edits += _owned(data, lower, aim, layout, hits)
        edits += [edit for start, end, name in layout.regions if name == aim.tunnel and name for edit in _marked(data, start, end, aim, layout)]
    for spot in wanted.spots:
        found = linkspots.find(path, data, spot)
        if found is None:
            remarks.append(Remark(path=path, line=0, text=spot, why="there is no such spot in it"))
            continue
        spotted = list(_marked(data, *found, aim, linkspots.Layout()))
        if not spotted and not any(True for _ in ANY.finditer(data, *found)):
            remarks.append(_remark(path, data, found[0], data[found[0] : found[1]], "there is no address at that spot"))
        edits += spotted
    if wanted.whole and seen and (aim.old or aim.shared):
        remarks += islice(_seen(path, data, lower, aim, layout, hits, {edit.start for edit in edits}), MOST_REMARKS)
    return Edits(edits=tuple(sorted(set(edits), key=lambda edit: edit.start)), remarks=tuple(remarks))


def _untouchable(data: bytes) -> str:
    if b"\0" in data:
        return "it is a binary file"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 text (byte {error.start})"
    return ""


def _hits(lower: bytes, aim: Aim) -> list[Span]:
    """Where any of an aim's origins stands, whatever is around it."""
    origins = (*aim.old, *aim.shared)
    return [match.span() for match in _owners(origins).finditer(lower)] if origins else []


def _owned(data: bytes, lower: bytes, aim: Aim, layout: linkspots.Layout, hits: list[Span]) -> Iterator[Edit]:
    """Edits of exact origins outside of marked regions."""
    kept = (*layout.kept, *((start, end) for start, end, _ in layout.regions))
    shared = _owners(aim.shared) if aim.shared else None
    for start, end in hits:
        if before(data, start) and after(data, end) and layout.allows(start, end, kept) and not (shared and shared.match(lower, start)):
            yield _edit(data, start, end, aim.new)


def _marked(data: bytes, start: int, end: int, aim: Aim, layout: linkspots.Layout) -> Iterator[Edit]:
    """Edits of every address in a place that a person marked, whatever origin it has."""
    known = _owners((*aim.old, *aim.shared, aim.new)) if aim.old or aim.shared else _owners((aim.new,))
    at = start
    while match := ANY.search(data, at, end):
        ours = known.match(data[match.start() : end].lower())
        first, last = match.start(), match.start() + ours.end() if ours and after(data, match.start() + ours.end()) else match.end()
        at = max(match.end(), last)
        if before(data, first) and after(data, last) and layout.allows(first, last, layout.kept) and _plain(data[first:last]) != aim.new:
            yield _edit(data, first, last, aim.new)


def _edit(data: bytes, start: int, end: int, new: str) -> Edit:
    old = data[start:end].decode()
    return Edit(start, end, old, new.replace("/", "\\/") if "\\/" in old else new)


def _plain(found: bytes) -> str:
    return origin_of(found.decode().replace("\\/", "/"))


@functools.lru_cache(maxsize=64)
def _owners(origins: tuple[str, ...]) -> re.Pattern[bytes]:
    """Any of these origins in text of small letters; the usual port may be written out."""
    parts = []
    for origin in sorted(origins, key=len, reverse=True):
        port = {"https": ":443", "http:": ":80"}[origin[:5]] if re.fullmatch(r"https?://(?:[^:/]+|\[[^\]]+\])", origin) else ""
        parts.append(re.escape(origin.lower()).replace("/", r"\\?/") + (f"(?:{port}(?![0-9]))?" if port else ""))
    return re.compile("|".join(parts).encode())


def before(data: bytes, start: int) -> bool:
    """Whether an address may begin here: what stands before is no part of it. A string's escaped line end is no letter."""
    if not start or data[start - 1] not in _BEFORE:
        return True
    escape = _ESCAPE.search(data, max(0, start - 24), start)
    if not escape:
        return False
    code = escape[2] or escape[3]
    return code is None or int(code, 16) > 127 or int(code, 16) not in _BEFORE


def after(data: bytes, end: int) -> bool:
    """Whether an address may end its origin here: what follows makes no other host, port or user of it."""
    if data[end : end + 1] in _PLAIN_AFTER:  # nearly always
        return True
    if _AFTER.match(data, end):
        return False
    if escape := _AHEAD.match(data, end):
        return chr(int(escape[1], 16)) in " \t\r\n\"'<>()/?#,;"
    if end >= len(data) or data[end] < 0x80:
        return True
    text = data[end : end + 8].decode("utf-8", "ignore")
    char, more = text[0], text[1:2]
    if char in _DOTS:
        return not (more.isalnum() or more in ("-", "_"))
    return unicodedata.category(char) not in ("Cf", "Mn", "Mc", "Me") and not char.isalnum()


# -- what is seen and not changed

_SPELLED = {".": rb"(?:\.|%2e|\\[ux](?:00)?2e|&#46;|&#x2e;)", ":": rb"(?::|%3a|\\[ux](?:00)?3a)", "/": rb"(?:\\?/|%2f|\\[ux](?:00)?2f)"}
_FORMS = (
    (re.compile(rb"%(?:25)?2f%(?:25)?2f\Z"), "it is percent-encoded"),
    (re.compile(rb"(?:(?:\\u002f|\\x2f|&#47;|&#x2f;|&sol;){2}|\\{2,}/\\{2,}/)\Z"), "it is escaped"),
    (re.compile(rb"https?:(?:\\?/){2}[^\s/?#@]*@\Z"), "it has a user's name"),
    (re.compile(rb"[a-z][a-z0-9+.-]*:(?:\\?/){2}\Z"), "it has another scheme"),
    (re.compile(rb"(?<![:/\\])(?:\\?/){2}\Z"), "it has no scheme"),
)
_ENCODED_AFTER = re.compile(rb"%(?!2f|3f|23|22|20|26|3[ce])|\\[ux]|&")
_PREFIX = re.compile(rb"https?:" + SLASHES)
_CUT = re.compile(rb"https?:(?:\\?/){0,2}[\w.:-]*\\?\r?\n[ \t>]*")
_OTHER = re.compile(rb"[\w-]|\.\w|:\d")


def _rest(origin: str) -> str:
    return origin.partition("://")[2]


@functools.lru_cache(maxsize=64)
def _labels(origins: tuple[str, ...]) -> tuple[bytes, ...]:
    """The longest part of each host: a file without any of them has nothing to look at, however it is encoded."""
    return tuple({max(re.split(r"[.:/]", _rest(origin)), key=len).encode() for origin in origins})


@functools.lru_cache(maxsize=64)
def _spellings(origins: tuple[str, ...]) -> re.Pattern[bytes]:
    """What follows the scheme of each, however it is spelled."""
    rests = sorted({_rest(origin) for origin in origins}, key=len, reverse=True)
    return re.compile(b"|".join(b"".join(_SPELLED.get(char) or re.escape(char.encode()) for char in rest) for rest in rests))


def _seen(path: str, data: bytes, lower: bytes, aim: Aim, layout: linkspots.Layout, hits: list[Span], changed: set[int]) -> Iterator[Remark]:
    """Where an address of ours stands in a form that is left alone."""
    origins = (*aim.old, *aim.shared)
    shared = _owners(aim.shared) if aim.shared else None
    untouched = (*layout.kept, *((start, end) for start, end, _ in layout.regions))
    known = set()
    for first, end in hits:
        scheme = _PREFIX.match(lower, first)
        assert scheme
        known.add(scheme.end())
        if first in changed:
            continue
        if after(data, end):
            if shared and shared.match(lower, first) and before(data, first) and layout.allows(first, end, untouched):
                yield _remark(path, data, first, data[first:end], "other tunnels had the same address: mark the place it stands in")
        elif _ENCODED_AFTER.match(lower, end) and before(data, first) and layout.allows(first, end, untouched):
            yield _remark(path, data, first, data[first : end + 8], "what follows is encoded and may make another address of it")
    for match in _spellings(origins).finditer(lower):
        start, end = match.span()
        if start in known or _OTHER.match(lower, end) or not layout.allows(start, end, untouched):
            continue
        if why := next((why for form, why in _FORMS if form.search(lower, max(0, start - 64), start)), ""):
            yield _remark(path, data, start, data[max(0, start - 16) : end], why)
    yield from _cut(path, data, lower, origins)


def _cut(path: str, data: bytes, lower: bytes, origins: tuple[str, ...]) -> Iterator[Remark]:
    for match in _CUT.finditer(lower):
        token = re.sub(rb"\\?\r?\n[ \t>]*", b"", match[0]).replace(b"\\/", b"/").decode("latin-1")
        rest = lower[match.end() : match.end() + 128]
        for origin in origins:
            if token != origin and origin.startswith(token) and rest.startswith(origin[len(token) :].encode()):
                yield _remark(path, data, match.start(), match[0].strip(), "it is cut by a line's end")


def _remark(path: str, data: bytes, at: int, text: bytes, why: str) -> Remark:
    return Remark(path=path, line=data.count(b"\n", 0, at) + 1, text=text.decode("utf-8", "replace"), why=why)
