"""What goes wrong between a client and a platform, as values: plant them in a stand-in and see what the client makes of it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase


@dataclass(kw_only=True)
class Reply:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to go wrong. The functions below make them.

    Attributes:
        replies: makes the reply that is sent instead of the true one; the request then changes nothing.
        acts: whether the platform does what it is asked before the fault shows.
        delay: real seconds until the reply is sent.
        cut: send half of the body that was announced, then close.
        hangs_up: reset the connection instead of replying.
        garbles: break the JSON of the reply.
        skew: how wrong the Date header is.
    """

    name: str
    replies: Callable[[datetime], Reply] | None = None
    acts: bool = True
    delay: float = 0.0
    cut: bool = False
    hangs_up: bool = False
    garbles: bool = False
    skew: timedelta = timedelta(0)

    def spoil(self, reply: Reply) -> Reply:
        """The reply with its JSON broken, if that is the fault."""
        return Reply(status=reply.status, body=b'{"oops": ' + reply.body[:20], headers=reply.headers) if self.garbles else reply

    @staticmethod
    def hang_up(connection: socket.socket) -> None:
        """Reset a connection: closing with nothing lingering sends RST."""
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(kw_only=True)
class Planted:
    """A fault in its place: which requests meet it, how many more will, how many have."""

    fault: Fault
    method: str
    path: str
    left: int | None
    hits: int = 0

    @staticmethod
    def fits(pattern: str, text: str) -> bool:
        """Whether a pattern as of `fnmatch` fits, case counting; `*` also fits slashes."""
        return fnmatchcase(text, pattern)

    def meets(self, method: str, path: str) -> bool:
        """Whether this request is for it."""
        return self.left != 0 and self.fits(self.method, method) and self.fits(self.path, path)

    def hit(self) -> None:
        """Count one."""
        self.hits += 1
        if self.left is not None:
            self.left -= 1


def _instead(name: str, status: int, message: str, **headers: str) -> Fault:
    named = {"Content-Type": "application/json; charset=utf-8", **{key.replace("_", "-"): text for key, text in headers.items()}}
    body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}).encode()
    return Fault(name=name, replies=lambda _now: Reply(status=status, body=body, headers=dict(named)))


def status(code: int, message: str = "Server Error", headers: Mapping[str, str] | None = None) -> Fault:
    """Any status, most of all 500, 502, 503, 504."""
    return _instead(f"status {code}", code, message, **dict(headers or {}))


def slow(seconds: float) -> Fault:
    """The request is obeyed, the reply comes late."""
    return Fault(name="slow", delay=seconds)


def truncated() -> Fault:
    """The request is obeyed; half of the announced body comes, then the connection closes."""
    return Fault(name="truncated", cut=True)


def reset() -> Fault:
    """The connection is reset before anything was done."""
    return Fault(name="reset", acts=False, hangs_up=True)


def lost_reply() -> Fault:
    """The request is obeyed, then the connection is reset: the asker cannot know."""
    return Fault(name="lost reply", hangs_up=True)


def malformed() -> Fault:
    """The request is obeyed; the reply is no JSON."""
    return Fault(name="malformed", garbles=True)


def wrong_clock(offset: timedelta) -> Fault:
    """The Date header of the reply is off."""
    return Fault(name="wrong clock", skew=offset)


def rate_limited(reset_in: timedelta = timedelta(minutes=10), limit: int = 5000) -> Fault:
    """GitHub's primary limit: 403, nothing remaining, and when it starts anew."""

    def reply(now: datetime) -> Reply:
        plain = _instead("", 403, "API rate limit exceeded for user ID 1.").replies
        assert plain is not None
        said = plain(now)
        said.headers |= {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": "0", "x-ratelimit-used": str(limit)}
        said.headers |= {"x-ratelimit-reset": str(int((now + reset_in).timestamp())), "x-ratelimit-resource": "core"}
        return said

    return Fault(name="rate limited", replies=reply)


def secondary_limit(retry_after: int = 60, code: int = 403) -> Fault:
    """GitHub's secondary limit: 403 or 429 with Retry-After in seconds."""
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return _instead("secondary limit", code, said, Retry_After=str(retry_after))


def unauthorized() -> Fault:
    """401: the token is not known."""
    return _instead("unauthorized", 401, "Bad credentials")


def forbidden(permissions: str = "administration=write") -> Fault:
    """403, naming the permission that is missing."""
    return _instead("forbidden", 403, "Resource not accessible by personal access token", X_Accepted_GitHub_Permissions=permissions)
