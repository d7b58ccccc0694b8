"""A real store with faults: the engine that writes is killed at a chosen point, the disk below is full or the server away for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import Connection

from ..errors import StoreError, StoreFull
from ..model.home import Home
from ..store.database import Store
from .fuse import Fuse


class FaultyStore(Store):
    """A `Store` for one engine of a simulated world.

    Args:
        home: the home's paths.
        url: where the store is; None means the home's own SQLite file.
        fuse: has three points in each write: before it, before its commit, after its commit.
    """

    def __init__(self, home: Home, url: str | None, fuse: Fuse) -> None:
        super().__init__(home, url)
        self._fuse = fuse
        self.full = False
        self.away = False
        self.full_at: range | None = None  # these writes, counted from now, meet a full disk
        self.writes = 0
        self.backups = True

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection, unless the server is away."""
        if self.away:
            raise StoreError("the store does not answer (simulated)", "qcity doctor says more", permanent=False)
        with super().read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may meet a fault."""
        self._fuse.at("before a write")
        self.writes += 1
        if self.away:
            raise StoreError("the store does not answer (simulated)", "qcity doctor says more", permanent=False)
        if self.full or (self.full_at is not None and self.writes in self.full_at):
            raise StoreFull("the disk below the store is full (simulated)", "free some space", permanent=False)
        with super().write() as connection:
            yield connection
            self._fuse.at("before a commit")
        self._fuse.at("after a commit")

    def backup(self) -> Path | None:
        """A backup, when the world makes them: each one costs real time."""
        if self.full:
            raise StoreFull("the disk below the store is full (simulated)", "free some space", permanent=False)
        return super().backup() if self.backups else None
