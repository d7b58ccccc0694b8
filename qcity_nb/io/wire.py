"""The wire between engine and workers: two files of JSON lines for each incarnation, a doorbell each way, and a beat file."""

from __future__ import annotations

from ..model.home import Home
from ..model.wire import Fact, Order
from . import files, spool


class FileWire:
    """The real `Wire`.

    Args:
        home: where the services' folders are.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def send(self, name: str, incarnation: int, order: Order) -> None:
        """Tell a worker something."""
        spool.append(self._home.orders(name, incarnation), order)
        spool.ring(self._home.worker_bell(name))

    def receive(self, name: str, incarnation: int, offset: int) -> tuple[list[Fact], int]:
        """What a worker said after `offset`, and the new offset."""
        return spool.read(self._home.facts(name, incarnation), offset, Fact)  # type: ignore[arg-type]  # a union is a type to msgspec

    def sign(self, name: str, *, beats: bool) -> int:
        """A number that changes with each sign of life."""
        path = self._home.beat(name) if beats else self._home.service(name) / "log"
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def words(self, name: str) -> list[str]:
        """The last lines of the service's log that say anything."""
        lines = files.tail(self._home.service(name) / "log", lines=20, limit=8192)
        return [line.strip()[:300] for line in lines if line.strip()]
