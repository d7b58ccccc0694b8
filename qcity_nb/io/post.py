"""A worker's end of the wire: it beats, hears orders, reports facts, and is told to stop."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from ..model.home import Home
from ..model.wire import Order
from . import spool
from .facts import Facts

BEAT = 1.0
"""Seconds between two beats."""
LAST_WORDS = 5.0
"""Seconds that a disk which takes nothing is given at the end."""


class Post:
    """One life of a worker.

    Args:
        home: where everything lies.
        name: its service.
        incarnation: which life of the service this is.
    """

    def __init__(self, home: Home, name: str, incarnation: int) -> None:
        home.service(name).mkdir(parents=True, exist_ok=True)
        self._beat, self._orders = home.beat(name), home.orders(name, incarnation)
        self.facts = Facts(home, name, incarnation)
        self.bell = spool.Doorbell(home.worker_bell(name))
        self.stopping = False
        self._offset = 0

    def listen(self) -> None:
        """SIGTERM and SIGINT ask for the end from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True
        with contextlib.suppress(OSError):
            os.write(self.bell.fd, b"!")

    def beat(self) -> None:
        """A sign of life."""
        with contextlib.suppress(OSError):
            self._beat.touch(mode=0o600)
            os.utime(self._beat)

    def orders(self) -> list[Order]:
        """What came since the last call."""
        found: list[Order]
        found, self._offset = spool.read(self._orders, self._offset, Order)  # type: ignore[arg-type]  # a union is a type to msgspec
        return found

    def wait(self) -> None:
        """Until somebody rings, or the next beat is due."""
        if not self.stopping:
            select.select([self.bell.fd], [], [], BEAT)
            self.bell.clear()

    def wake(self) -> None:
        """End a wait, from any thread."""
        spool.ring(self.bell.path)

    def close(self) -> None:
        """Report what was held back, and go."""
        deadline = time.monotonic() + LAST_WORDS
        while not self.facts.flush() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.bell.close()
