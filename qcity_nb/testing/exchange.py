"""What goes over the wire of a stand-in: requests taken apart, lines of the log; and what all platforms do alike with addresses, pages, ETags."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import Message
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from .faults import Reply

T = TypeVar("T")


def utcnow() -> datetime:
    """The real time."""
    return datetime.now(timezone.utc)


def zulu(moment: datetime) -> str:
    """A moment as platforms write it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked. `path` is decoded, without base path and query, `raw` not decoded; `headers` ignore case, `query` has a name's last value."""

    method: str
    path: str
    raw: str
    target: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    at: datetime
    gone: Callable[[], bool] = lambda: False  # whether the asker has hung up or the server ends: do not wait for it, do not give it anything

    def json(self) -> Any:
        """The body as JSON; {} when there is none.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body) if self.body.strip() else {}

    def header(self, name: str) -> str:
        """A header, or an empty text."""
        return str(self.headers.get(name, ""))

    def every(self, name: str) -> list[str]:
        """All values of a name in the query, as `scope[]` has."""
        return [value for key, value in parse_qsl(urlsplit(self.target).query) if key == name]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A line of the log: what was asked, the status it got (0: none, the connection was cut before), and the fault that was in the way, if any."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    status: int
    at: datetime
    reply: bytes = b""
    reply_headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


def address(pattern: str, raw: str) -> dict[str, str] | None:
    """The named parts of an address that fits a pattern as `/runners/{id}`, decoded; else None. `{path}` and `{ref}` may hold slashes."""
    found = _pattern(pattern).fullmatch(raw)
    return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


@cache
def _pattern(text: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"\{\w+\}", text)]
    names = [f"(?P<{name}>{'.*' if name in {'path', 'ref'} else '[^/]+'})" for name in re.findall(r"\{(\w+)\}", text)]
    return re.compile("".join(part + name for part, name in zip(parts, [*names, ""], strict=True)))


def sends(value: Any, status: int = 200, **headers: str) -> Reply:
    """A reply with a JSON body; underscores in the names of headers stand for hyphens."""
    named = {"Content-Type": "application/json; charset=utf-8", **{key.replace("_", "-"): text for key, text in headers.items()}}
    return Reply(status=status, body=json.dumps(value).encode(), headers=named)


def page(items: Iterable[T], request: Request, *, url: str, default: int = 30, cap: int = 100) -> tuple[list[T], int, dict[str, str]]:
    """The page that a request asks for with `page` and `per_page`: its items, how many there are in all, a `Link` header when there are more."""
    everything = list(items)
    size, number = (int(text) if (text := request.query.get(name, "")).isdigit() else 0 for name in ("per_page", "page"))
    size, number = min(cap, size or default), number or 1
    last = max(1, -(-len(everything) // size))

    def link(to: int, rel: str) -> str:
        return f'<{url}?{urlencode({**request.query, "per_page": size, "page": to})}>; rel="{rel}"'

    links = [link(number - 1, "prev")] if number > 1 else []
    links += [link(number + 1, "next"), link(last, "last")] if number < last else []
    links += [link(1, "first")] if number > 1 else []
    return everything[(number - 1) * size : number * size], len(everything), {"Link": ", ".join(links)} if links else {}


def tagged(request: Request, reply: Reply) -> Reply:
    """The reply with a strong ETag of its body, or 304 without a body when the asker has exactly that."""
    if request.method != "GET" or reply.status != 200:
        return reply
    tag = f'"{hashlib.sha256(reply.body).hexdigest()[:40]}"'
    reply.headers.setdefault("ETag", tag)
    known = [part.strip().removeprefix("W/") for part in request.header("If-None-Match").split(",")]
    if reply.headers["ETag"] not in known:
        return reply
    kept = {key: text for key, text in reply.headers.items() if key != "Content-Type"}
    return Reply(status=304, headers=kept)
