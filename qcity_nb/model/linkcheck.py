"""Checks of links: where a link stands, what was answered, what a browser saw, and what was made of it. Times are seconds, moments aware UTC."""

from __future__ import annotations

from enum import Enum

import msgspec


class Verdict(Enum):
    """What is known of a link. UNKNOWN is neither good nor bad: nobody could tell, and nobody should act on it."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Site(Enum):
    """What a link leads to, as far as its address tells."""

    TUNNEL = "tunnel"
    DASHBOARD = "dashboard"
    NOTEBOOK = "notebook"
    OTHER = "other"


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a link is written down."""

    path: str
    line: int
    url: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for an address. `error`: empty, dns, refused, timeout, tls, lost, loop or invalid; `anchors` are names in the page."""

    url: str
    status: int = 0
    final: str = ""
    kind: str = ""
    anchors: tuple[str, ...] = ()
    title: str = ""
    error: str = ""
    cached: bool = False


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser saw behind an address: its last address, what the page says, what the console complained about."""

    url: str
    final: str = ""
    status: int = 0
    title: str = ""
    text: str = ""
    password: bool = False
    errors: tuple[str, ...] = ()
    console: tuple[str, ...] = ()
    shot: str = ""
    error: str = ""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one link. `new`: the origin that its tunnel has now, where that repairs it; `shot`: a picture, below the home."""

    spot: Spot
    verdict: Verdict
    why: str
    todo: str = ""
    tunnel: str = ""
    new: str = ""
    shot: str = ""
