"""Ways to tell the master. Their addresses hold secrets, so they are credentials: `QCITY_WEBHOOK` and `QCITY_SMTP`, kept as files of mode 0600."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ...errors import NotFound, QCityError
from ...io import secrets
from ...model.home import Home
from ...model.notice import Notice
from .. import KINDS, load

TRIES = 4
PAUSES = (2.0, 10.0, 60.0)
"""Seconds between two tries to send one."""


def credential_of(kind: str) -> str:
    """The name under which a notifier's address is kept."""
    return f"notify-{kind}"


class Messenger:
    """Sends notices from a thread of its own, so that nobody waits; what came of each is asked for with `outcomes`.

    Args:
        home: where the addresses are kept.
        wake: called when one was sent, or could not be.
        pauses: seconds between two tries; tests give shorter ones.
    """

    def __init__(self, home: Home, wake: Callable[[], object], *, pauses: tuple[float, ...] = PAUSES) -> None:
        self._home, self._wake, self._pauses = home, wake, pauses
        self._asked: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def ways(self) -> list[str]:
        """The ways that there is an address for."""
        return [kind for kind in KINDS["notifiers"] if secrets.has(self._home, credential_of(kind))]

    def send(self, notice: Notice) -> None:
        """Send it soon, by every way that there is an address for."""
        self._asked.put(notice)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="qcity-messenger", daemon=True)
            self._thread.start()

    def outcomes(self) -> list[tuple[str, str]]:
        """The keys of notices that are done with since the last call, and what came of each."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def close(self) -> None:
        """Stop after what is being sent; what was not sent is sent by the next engine."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            notice = self._asked.get()
            told = [self._tell(kind, notice) for kind in KINDS["notifiers"]]
            self._done.put((notice.key, "; ".join(filter(None, told)) or "there was nobody to tell"))
            self._wake()

    def _tell(self, kind: str, notice: Notice) -> str:
        """Send by one way; empty when there is no address for it."""
        try:
            address = secrets.load(self._home, credential_of(kind))
        except NotFound:
            return ""
        error = ""
        for attempt in range(TRIES):
            try:
                load("notifiers", kind).send(address, notice)
            except (QCityError, OSError) as caught:
                error = caught.what if isinstance(caught, QCityError) else str(caught)
            else:
                return f"told by {kind}"
            if attempt < TRIES - 1 and self._over.wait(self._pauses[min(attempt, len(self._pauses) - 1)]):
                break
        return f"could not be told by {kind} ({error})"
