"""Who is signed in, in memory only: a restart signs everybody out. A session ends by itself, by hand, or when everything is revoked."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field

from ..client import served
from ..decide import roles
from ..decide.roles import Role
from ..io.clock import instant
from ..model.home import Home

LIFE_SECONDS = 12 * 3600.0
MOST = 1000
"""So many are signed in at once; the one that came first goes."""


class Rate:
    """At most so many in so many seconds."""

    def __init__(self, most: int, seconds: float) -> None:
        self._times: deque[float] = deque(maxlen=most)
        self._most, self._seconds = most, seconds

    def take(self) -> bool:
        """Whether one more is within it; only then it counts."""
        now = instant().awake
        if len(self._times) == self._most and now - self._times[0] < self._seconds:
            return False
        self._times.append(now)
        return True


@dataclass(frozen=True, kw_only=True)
class Session:
    """One person who is signed in.

    Args:
        csrf: what a form or a script of our own page has and no other page does.
        until: on the clock that runs while the machine sleeps; None: as long as this process.
        mark: what `served.revoked` said when it began.
    """

    role: Role
    name: str
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    until: float | None = None
    mark: int = 0
    acts: Rate = field(default_factory=lambda: Rate(20, 20.0))

    @property
    def actor(self) -> str:
        """How the audit calls it."""
        return roles.actor(self.role, self.name)


class Sessions:
    """The sessions of one page.

    Args:
        key: what a proxy in front shows that has asked the person for a password already; empty when there is none.
    """

    def __init__(self, home: Home, port: int, *, key: str = "") -> None:
        self._home, self.port, self._key = home, port, key
        self._known: dict[str, Session] = {}
        self._behind = Session(role=Role.MASTER, name="jupyter")
        self._wrong = Rate(10, 60.0)

    def enter(self, token: str) -> tuple[str, Session] | None:
        """A new session for whoever has a good token, and what its cookie says."""
        ticket = served.redeem(self._home, self.port, token)
        if ticket is None:
            return None
        until, mark = instant().total + LIFE_SECONDS, served.revoked(self._home, self.port)
        cookie = secrets.token_urlsafe(32)
        while len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[cookie] = made = Session(role=ticket.role, name=ticket.name, until=until, mark=mark)
        return cookie, made

    def guessed(self) -> bool:
        """Note a wrong token; whether that was one too many. A right one is let in all the same, or a guesser would lock everybody out."""
        return not self._wrong.take()

    def of(self, cookie: str, key: str = "") -> Session | None:
        """Whose request it is."""
        if self.is_trusted(key):
            return self._behind
        found = self._known.get(cookie)
        if found is not None and not self.is_good(found):
            self.leave(cookie)
            return None
        return found

    def is_trusted(self, key: str) -> bool:
        """Whether our own proxy brings it."""
        return bool(self._key) and secrets.compare_digest(self._key.encode(), key.encode())

    def is_good(self, session: Session) -> bool:
        """Whether it has not ended."""
        if session.until is None:
            return True
        return instant().total < session.until and served.revoked(self._home, self.port) == session.mark

    def leave(self, cookie: str) -> None:
        """End one."""
        self._known.pop(cookie, None)
