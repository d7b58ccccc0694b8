"""What every part of the engine works with: the ports, the store, and what is remembered between ticks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..errors import BadInput, StoreCorrupt, StoreError, StoreFull
from ..model.home import Home
from ..model.wire import AgentFact, Mend
from ..ports import Clock, Processes, RunnerKind, Wire
from ..store import services as rows
from ..store.database import Store
from .claims import Claims

BALLAST = 8 << 20
Verb = Callable[[str, Mapping[str, object]], dict[str, object]]
"""What a command of a person has done: its subject and arguments in, its answer out."""


@dataclass
class Sign:
    """The last sign of life of a service, and for how long it has been looked at without another one."""

    value: int
    quiet: timedelta = timedelta(0)


@dataclass
class Context:
    """The engine's hands and memory."""

    store: Store
    clock: Clock
    processes: Processes
    wire: Wire
    kinds: Callable[[str], RunnerKind]
    home: Home
    claims: Claims
    generation: int = 0
    services: dict[str, rows.ServiceRow] = field(default_factory=dict)
    signs: dict[str, Sign] = field(default_factory=dict)
    work_changed: bool = True
    unsaved: set[str] = field(default_factory=set)
    unread: dict[tuple[str, int], int] = field(default_factory=dict)  # facts that a store that was away could not take: how far they were read
    heads: dict[str, dict[str, str]] = field(default_factory=dict)  # the newest commits known, per runner and ref
    told: list[AgentFact] = field(default_factory=list)  # what was said of agents and nobody acted on yet
    mends: dict[str, Mend] = field(default_factory=dict)  # what the next life of an agent has to do before it runs
    persons: dict[str, str] = field(default_factory=dict)  # why an agent that is about to end needs a person
    note: str = ""
    lost_store: bool = False  # its file is damaged or was replaced: only a new engine can go on
    stopping: bool = False
    stop_services: bool = False

    def record(self, write: Callable[[Connection], None]) -> bool:
        """Write to the store in one transaction. When the store cannot be written the engine goes on from memory and says so.

        Returns:
            Whether it was written.
        """
        try:
            with self.store.write() as connection:
                write(connection)
        except StoreCorrupt as error:
            self.note, self.lost_store = str(error), True
            return False
        except StoreFull as error:
            self.note = str(error)
            self.home.ballast.unlink(missing_ok=True)  # when a disk is full even DELETE fails: this gives the store room to say so
            return self._again(write)
        except StoreError as error:
            self.note = str(error)
            return False
        return True

    def keep_ballast(self) -> None:
        """Keep some space that can be freed on a full disk."""
        if self.home.ballast.exists():
            return
        try:
            disk = os.statvfs(self.home.root)
            if disk.f_bavail * disk.f_frsize < 3 * BALLAST // 2:
                return  # what is left is for the store
            self.home.ballast.write_bytes(b"\0" * BALLAST)
        except OSError:
            self.home.ballast.unlink(missing_ok=True)

    def _again(self, write: Callable[[Connection], None]) -> bool:
        try:
            with self.store.write() as connection:
                write(connection)
        except StoreError:
            return False
        return True


def check_name(name: str, *, what: str) -> None:
    """A name becomes a folder's. Raises `BadInput` for one that cannot be."""
    if not name or len(name) > 64 or not all(letter.isalnum() or letter in "._-" for letter in name) or name[0] in ".-":
        raise BadInput(f'"{name}" is not a name for a {what}', "use letters, digits, dot, dash and underscore, at most 64")


def settle_stamp(stamp: datetime | None, now: datetime) -> datetime | None:
    """A stamp of an earlier engine as this one's clock sees it: one from the future (the wall clock was set back) counts as now."""
    return None if stamp is None else min(stamp, now)


def age(of: datetime, now: datetime) -> timedelta:
    """How long ago, never negative."""
    return max(now - of, timedelta(0))
