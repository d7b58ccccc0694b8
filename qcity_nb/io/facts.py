"""What the worker reports: appended to the facts file and announced, held back while the disk does not take it, never lost."""

from __future__ import annotations

import threading
from collections import deque

from ..model.home import Home
from ..model.wire import Fact, JobMoved, RunMoved
from . import spool


class Facts:
    """The way up to the engine, for all threads of a worker.

    Args:
        home: whose doorbell is rung.
        name: the service.
        incarnation: which of its lives this is.
    """

    def __init__(self, home: Home, name: str, incarnation: int) -> None:
        self._path, self._bell = home.facts(name, incarnation), home.doorbell
        self._held: deque[Fact] = deque()
        self._lock = threading.Lock()

    def send(self, fact: Fact) -> None:
        """Report a fact, in order. A mere movement is dropped while others wait."""
        with self._lock:
            if self._held and isinstance(fact, (JobMoved, RunMoved)):
                return
            self._held.append(fact)
            self._flush()

    def flush(self) -> bool:
        """Try again what was held back; whether nothing is left."""
        with self._lock:
            return self._flush()

    def _flush(self) -> bool:
        sent = False
        try:
            while self._held:
                spool.append(self._path, self._held[0])
                self._held.popleft()
                sent = True
        except OSError:
            return False
        finally:
            if sent:
                spool.ring(self._bell)
        return True
