"""Platforms that work here depends on (GitHub, Hugging Face …): where each says how it is, and what it said last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Family(Enum):
    """The form in which a platform says how it is. `ANSWERS` has no such page: it is asked whether it answers at all."""

    STATUSPAGE = "statuspage"
    STATUS_IO = "status.io"
    BETTER_STACK = "betterstack"
    GOOGLE = "google"
    ANSWERS = "answers"


class Says(Enum):
    """What a platform says of itself. What cannot be read is unknown, never fine."""

    FINE = "fine"
    MAINTENANCE = "maintenance"
    MINOR = "minor"
    MAJOR = "major"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Where a platform says it.

    Args:
        title: what people call it.
        url: what is asked.
        page: where a person looks.
        parts: the parts of it that count, as it names them; none means all of it.
    """

    title: str
    url: str
    family: Family
    page: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlatformView:
    """What is known of one.

    Args:
        says: what it said when it was last heard.
        text: the same in its own words, a line.
        heard: when its answer was last read; None while it never was.
        asked: when it was last asked.
        trouble: why the last question had no answer that could be read; empty when it had one.
    """

    says: Says = Says.UNKNOWN
    text: str = ""
    heard: datetime | None = None
    asked: datetime | None = None
    trouble: str = ""
