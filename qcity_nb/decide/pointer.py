"""What a pointer says: the signed text that is published as a TXT record and, as JSON, beside a fallback page. Pure: signing and checking come in.

`v=qc1 svc=app url=https://… gen=17 since=<unix> exp=<unix> sig=<base64url Ed25519>`; all that stands before ` sig=` is signed, byte for byte.
Whoever reads it treats what has expired as offline; whoever writes it renews it at a third of its lease, so that one renewal may be lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from urllib.parse import urlsplit

from ..errors import BadInput
from ..model.tunnel import Page, Pointer

Sign = Callable[[str], str]
"""Text -> its signature, base64url without padding."""
Verify = Callable[[str, str], bool]
"""Text and signature -> whether it is by the key that is trusted."""

LEASE = timedelta(minutes=5)
SLOW_LEASE = timedelta(hours=1)
"""Of pages where each renewal is a commit: GitHub builds Pages ten times an hour at most (docs.github.com, "GitHub Pages limits")."""
SLOW = frozenset({"git", "huggingface"})
LEASES = (timedelta(seconds=30), timedelta(days=7))
LONGEST = 255
"""Bytes of one string of a TXT record (RFC 1035, 3.3)."""
URL_LIMIT = 1024

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TEXT = re.compile(
    r"(?P<signed>v=qc1 svc=(?P<svc>\S+) url=(?P<url>\S+) gen=(?P<gen>0|[1-9]\d{0,14}) since=(?P<since>\d{1,11}) exp=(?P<exp>\d{1,11}))"
    r" sig=(?P<sig>[A-Za-z0-9_-]{86})"
)
MARK = "v=qc1 "
"""How each of ours begins: other TXT records at the same name are left alone."""


class Reading(Enum):
    """What a reader makes of what it found."""

    LIVE = "live"
    EXPIRED = "expired"  # as good as offline
    FORGED = "forged"  # not signed by the key that is trusted, or changed since
    MALFORMED = "malformed"
    OLDER = "older"  # a generation before one that was seen already
    ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Signpost:
    """What a pointer says: the address of a service, of which generation, live since when, and until when that may be believed."""

    service: str
    url: str
    generation: int
    since: datetime
    until: datetime
    signature: str = ""


def unsigned(post: Signpost) -> str:
    """The text to sign.

    Raises:
        BadInput: the service's name or the address cannot stand in it.
    """
    if not _SERVICE.fullmatch(post.service):
        todo = "Use letters, digits, dots, dashes and underscores, 63 at most"
        raise BadInput(f'"{post.service}" cannot be the name of a service in a pointer', todo)
    if not _is_address(post.url):
        todo = "It begins with http:// or https:// and holds no user and no blanks"
        raise BadInput(f'"{post.url[:80]}" is no address that a pointer can lead to', todo)
    since, until = int(post.since.timestamp()), int(post.until.timestamp())
    return f"v=qc1 svc={post.service} url={post.url} gen={post.generation} since={since} exp={until}"


def encode(post: Signpost, sign: Sign) -> str:
    """The signed text. Raises `BadInput` as `unsigned` does."""
    text = unsigned(post)
    return f"{text} sig={sign(text)}"


def parse(text: str) -> Signpost:
    """What a text says; its signature is not looked at.

    Raises:
        BadInput: it is none of ours.
    """
    found = _TEXT.fullmatch(text)
    if found is None or not _SERVICE.fullmatch(found["svc"]) or not _is_address(found["url"]):
        raise BadInput(f'"{text[:60]}" is no pointer', "It has the fields v, svc, url, gen, since, exp and sig, in this order")
    since, until = (datetime.fromtimestamp(int(found[key]), timezone.utc) for key in ("since", "exp"))
    return Signpost(service=found["svc"], url=found["url"], generation=int(found["gen"]), since=since, until=until, signature=found["sig"])


def judge(text: str | None, verify: Verify, *, now: datetime, service: str = "", seen: int = 0) -> tuple[Reading, Signpost | None]:
    """What to make of what was found.

    Args:
        service: whose it has to be; empty takes any.
        seen: the newest generation that this reader knows of.
    """
    if text is None:
        return Reading.ABSENT, None
    try:
        post = parse(text)
    except BadInput:
        return Reading.MALFORMED, None
    if not verify(text.rpartition(" sig=")[0], post.signature) or (service and post.service != service):
        return Reading.FORGED, None
    if post.generation < seen:
        return Reading.OLDER, post
    return (Reading.LIVE if now < post.until else Reading.EXPIRED), post


def may_replace(text: str | None, verify: Verify, *, now: datetime, service: str, generation: int) -> str:
    """Why a runner may not put its own in the place of what it found; empty when it may.

    What has expired is free for anybody, whoever signed it. What is live gives way to its own signer's newer word only.
    """
    reading, post = judge(text, verify, now=now, service=service)
    if reading in (Reading.LIVE, Reading.EXPIRED) and post is not None:
        return f"generation {post.generation} of {service} is there already, and ours is {generation}" if post.generation > generation else ""
    if reading is Reading.FORGED:
        post = parse(text or "")
        if now < post.until:
            return f"{post.service} of another key is live there until {post.until:%H:%M:%S} UTC"
    return ""


def as_json(text: str) -> bytes:
    """The same as JSON, for readers that cannot ask the DNS. Raises `BadInput` when it is none of ours."""
    post = parse(text)
    said = {"v": "qc1", "svc": post.service, "url": post.url, "gen": post.generation}
    said |= {"since": int(post.since.timestamp()), "exp": int(post.until.timestamp()), "sig": post.signature}
    return json.dumps(said, ensure_ascii=True).encode() + b"\n"


def from_json(data: bytes) -> str:
    """The text that a JSON file says. Raises `BadInput` when it is none of ours."""
    try:
        said = json.loads(data)
        return f"v={said['v']} svc={said['svc']} url={said['url']} gen={said['gen']} since={said['since']} exp={said['exp']} sig={said['sig']}"
    except (ValueError, KeyError, TypeError):
        raise BadInput("what lies there is no pointer", "It is JSON with v, svc, url, gen, since, exp and sig") from None


def strings(text: str) -> tuple[bytes, ...]:
    """A text as the strings of one TXT record, 255 bytes each at most."""
    raw = text.encode("ascii", "strict") if text.isascii() else text.encode()
    return tuple(raw[at : at + LONGEST] for at in range(0, len(raw), LONGEST)) or (b"",)


def joined(parts: Sequence[bytes]) -> str:
    """The text of one TXT record: its strings in a row (RFC 7208, 3.3, reads them the same way)."""
    return b"".join(parts).decode("utf-8", "replace")


def ours(values: Sequence[str], service: str = "") -> str | None:
    """The pointer among the TXT records of a name, None when there is none; the newest where a service that cannot replace in one step shows two."""
    found = [value for value in values if value.startswith(MARK + (f"svc={service} " if service else ""))]
    return max(found, key=_age, default=None)


def _age(text: str) -> tuple[int, int]:
    found = _TEXT.fullmatch(text)
    return (int(found["gen"]), int(found["exp"])) if found else (-1, 0)


def lease(follower: Pointer | Page) -> timedelta:
    """How long its word holds: option `lease` in seconds, or what suits the kind.

    Raises:
        BadInput: that is no length of time, or none that makes sense.
    """
    given = follower.options.get("lease", "")
    if not given:
        return SLOW_LEASE if isinstance(follower, Page) and follower.kind in SLOW else LEASE
    if not given.isdigit() or not LEASES[0] <= (asked := timedelta(seconds=int(given[:9]))) <= LEASES[1]:
        raise BadInput(f'"{given}" is no lease for a pointer', "Give seconds, from 30 to 604800")
    return asked


def renewal(follower: Pointer | Page) -> timedelta:
    """After how long it is renewed: a third of its lease. Raises `BadInput` as `lease` does."""
    return lease(follower) / 3


def _is_address(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or any(letter in url for letter in ' "<>\\^`{|}') or len(url) > URL_LIMIT:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
