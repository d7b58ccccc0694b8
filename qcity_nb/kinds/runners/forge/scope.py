"""One platform and scope, asked by one thread: a list of runners a minute for all of them together, and what is only asked when it matters."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from ....errors import PlatformError, QCityError
from ....model.agent import Reach, Remote, RemoteJob
from ....ports import Forge
from ...forges.http import path_fails_at
from . import tempo

POLL = 60.0
SLOW = 300.0
SOON = 5.0
"""Seconds between two lists: usually, when the platform asks for patience, and when an agent is just coming up."""
REACHES = {"unreachable": Reach.DOWN, "server": Reach.DOWN, "garbled": Reach.DOWN, "limited": Reach.LIMITED}


@dataclass(frozen=True, kw_only=True)
class View:
    """A platform as it was when it was last asked with success (`checked`), and how it answers now."""

    checked: datetime | None = None
    runners: tuple[Remote, ...] = ()
    queued: tuple[RemoteJob, ...] = ()
    jobs: dict[int, tuple[RemoteJob, ...]] = field(default_factory=dict)  # of runners that are or were busy, by the runner's id
    reach: Reach = Reach.UNKNOWN
    text: str = ""
    needed: str = ""
    path: str = ""
    skew: timedelta | None = None

    def of(self, id_: int | None, name: str) -> Remote | None:
        """A runner of the list, by its id or else by its name."""
        by_id = next((one for one in self.runners if one.id == id_), None)
        return by_id or next((one for one in self.runners if one.name == name), None)


class Scope:
    """A thread that asks and acts.

    Args:
        connect: makes the client, at first and after a refusal (there may be a new token).
        url: the platform's web address, whose network path is looked at when it does not answer.
        wake: called after each answer.
        poll: seconds between two lists.
    """

    def __init__(self, connect: Callable[[], Forge], *, url: str, wake: Callable[[], None], poll: float = POLL) -> None:
        self._connect, self._url, self._wake, self._poll = connect, url, wake, poll
        self._forge: Forge | None = None
        self._asked: deque[Callable[[Forge], None]] = deque()
        self._changed, self._over = threading.Condition(), False
        self._soon = self._last = 0.0
        self._every = poll
        self.view = View()
        self.unheard: dict[int, datetime] = {}  # since when registrations of ours are offline, by id
        self.watched: dict[int, str] = {}  # runners of ours whose jobs matter, by id, with their names
        self.waits_matter = True  # whether an agent of ours could take a job
        self._thread = threading.Thread(target=self._run, name="qcity-scope", daemon=True)
        self._thread.start()

    def ask(self, act: Callable[[Forge], None]) -> None:
        """Have something done by the thread, soon."""
        with self._changed:
            self._asked.append(act)
            self._changed.notify()

    def look_soon(self) -> None:
        """An agent is coming up, or something was changed: ask for the list before its turn."""
        with self._changed:
            self._soon = time.monotonic()
            self._changed.notify()

    def slow_down(self) -> None:
        """The platform asks for patience."""
        self._every = max(self._poll, tempo.real(timedelta(seconds=SLOW)))

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def _run(self) -> None:
        while not self._over:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._asked or self._due() <= 0, timeout=max(0.0, self._due()))
                act = self._asked.popleft() if self._asked else None
            if act is not None:
                self._do(act)
            elif self._due() <= 0:
                self._last = time.monotonic()
                self._look()
            self._wake()

    def _due(self) -> float:
        """Seconds until the list is due."""
        regular = self._last + self._every
        soon = max(self._soon, self._last + min(SOON, self._poll)) if self._soon > self._last else regular
        return min(regular, soon) - time.monotonic()

    def _do(self, act: Callable[[Forge], None]) -> None:
        try:
            act(self._client())
        except (QCityError, OSError) as error:
            self._refused(error)

    def _client(self) -> Forge:
        if self._forge is None:
            self._forge = self._connect()
        return self._forge

    def _look(self) -> None:
        asked = datetime.now(timezone.utc)
        try:
            forge = self._client()
            runners = tuple(forge.runners())
            jobs = {id_: tuple(forge.running(Remote(id=id_, name=name, online=False))) for id_, name in self.watched.items()}
            queued = tuple(forge.queued()) if self.waits_matter else self.view.queued
        except (QCityError, OSError) as error:
            self._refused(error)
            return
        self._every = self._poll
        self.view = View(checked=asked, runners=runners, queued=queued, jobs=jobs, reach=Reach.FINE, skew=forge.skew())

    def _refused(self, error: Exception) -> None:
        """Keep what was known, and say that it is old."""
        kind = error.kind if isinstance(error, PlatformError) else ""
        reach = REACHES.get(kind, Reach.DENIED)
        path = (error.layer or "") if isinstance(error, PlatformError) else ""
        if reach is Reach.DOWN:
            path = path_fails_at(self._url) or ("" if path == "http" else path)
        if reach is Reach.LIMITED:
            self.slow_down()
        if reach is Reach.DENIED:
            self._forge = None
        text = error.what if isinstance(error, QCityError) else str(error)
        needed = error.needed if isinstance(error, PlatformError) else ""
        self.view = replace(self.view, reach=reach, text=text, needed=needed, path=path)
