"""Leases under contention: a store in memory, contenders that want every epoch, tenants with a term, and an oracle that says who held when.

`python -m qcity_nb.testing.leases WHERE CLAIM HOME WHO EPOCHS LOG` is one contender as a process of its own.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from ..decide import tenure as rules
from ..decide.tenure import Swap, Tenure
from ..errors import LeaseError
from ..kinds.leases import open_lease
from ..model.fleet import Epoch, Holding, Instant, Stored, Tenancy
from ..model.home import Home
from ..ports import LeaseStore

TERM = timedelta(seconds=20)


@dataclass
class MemoryRegister:
    """What several `MemoryLease` share: one record, and a lock around it."""

    stored: Stored | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryLease:
    """The fake `LeaseStore`. `away` makes it unreachable; `loses` makes the next swap's answer get lost after it was done; `hangs` seconds long."""

    def __init__(self, register: MemoryRegister) -> None:
        self._register = register
        self.away = self.loses = False
        self.hangs = 0.0

    def read(self) -> Stored | None:
        """What is there."""
        self._reach()
        with self._register.lock:
            return self._register.stored

    def swap(self, expected: str | None, record: Holding) -> str | None:
        """Compare and swap."""
        self._reach()
        with self._register.lock:
            now = self._register.stored
            if (now.version if now else None) != expected:
                return None
            version = str(int(now.version) + 1 if now else 1)
            self._register.stored = Stored(record=record, version=version)
        if self.loses:
            self.loses = False
            raise LeaseError("the answer was lost", permanent=False)
        return version

    def close(self) -> None:
        """Nothing is held open."""

    def _reach(self) -> None:
        time.sleep(self.hangs)
        if self.away:
            raise LeaseError("the store is away", permanent=False)


@dataclass(frozen=True, order=True)
class Belief:
    """Somebody believed to hold an epoch, from `begin` to `end` (seconds of this machine's monotonic clock)."""

    begin: float
    end: float
    who: str
    epoch: int


def doubles(beliefs: Iterable[Belief]) -> list[tuple[Belief, Belief]]:
    """The oracle: pairs that held at the same time, or an epoch that two had, or an epoch that came after a higher one."""
    wrong, ordered = [], sorted(beliefs)
    latest: Belief | None = None
    for belief in ordered:
        if latest is not None and belief.who != latest.who and (belief.begin < latest.end or belief.epoch <= latest.epoch):
            wrong.append((latest, belief))
        if latest is None or belief.end > latest.end:
            latest = belief
    return wrong


def contend(store: LeaseStore, who: str, epochs: int, note: Callable[[Belief], None], *, lossy: float = 0.05, seconds: float = 600.0) -> None:
    """Want every epoch up to `epochs`; each is held for a moment and released. Of some swaps the answer is dropped and found out by reading."""
    dice, end = random.Random(who), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            stored = store.read()
            if stored is not None and stored.record.state is Tenancy.RELEASED and stored.record.epoch >= epochs:
                return
            if stored is not None and stored.record.state is Tenancy.HELD:
                time.sleep(0.001)
                continue
            epoch = Epoch(stored.record.epoch + 1 if stored else 1)
            mine = Holding(claim="web", place=who, epoch=epoch, renewed=0, term=TERM)
            version = store.swap(stored.version if stored else None, mine)
            if dice.random() < lossy:
                version = _look(store, mine)
            if version is None:
                continue
            begin = time.monotonic()
            time.sleep(dice.random() * 0.002)
            note(Belief(begin, time.monotonic(), who, epoch))
            while store.swap(version, replace(mine, state=Tenancy.RELEASED)) is None:
                if (after := store.read()) is None or after.record.state is Tenancy.RELEASED or after.record.place != who:
                    break
            time.sleep(dice.random() * 0.004)  # the others shall win too
        except LeaseError:
            time.sleep(0.002)


def _look(store: LeaseStore, mine: Holding) -> str | None:
    stored = store.read()
    return stored.version if stored is not None and stored.record.key == mine.key else None


def now() -> Instant:
    """Both clocks of the machine."""
    return Instant(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))


class Tenant:
    """A place that renews, stalls, goes away and comes back; it holds what the rules of `decide.tenure` give it.

    Args:
        who: its name; also the seed of its mischief.
        note: told each stretch of time in which something acted under the claim: up to the moment at which it would have been killed.
    """

    def __init__(self, store: LeaseStore, who: str, term: timedelta, note: Callable[[Belief], None], *, rank: int = 0) -> None:
        self._store, self._note = store, note
        self._tenure = Tenure(claim="web", place=who, name=who, term=term, rank=rank)
        self._dice = random.Random(who)

    def live(self, seconds: float, *, stall: float = 0.04) -> None:
        """Go through so many seconds; with the chance `stall` at each turn it stands still for up to three terms."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._dice.random() < stall:
                time.sleep(self._dice.random() * 3 * self._tenure.seconds)
            before = self._tenure
            self._tenure, ask = rules.step(before, now(), wanted=True)
            if ask is None:
                time.sleep(min(0.02, rules.due(self._tenure, now())))
                continue
            try:
                if isinstance(ask, Swap):
                    version = self._store.swap(ask.expected, ask.record)
                    if self._dice.random() < 0.1:
                        raise LeaseError("the answer was lost", permanent=False)
                    self._tenure = rules.swapped(self._tenure, version, now())
                else:
                    self._tenure = rules.found(self._tenure, self._store.read(), now())
            except LeaseError as error:
                self._tenure = rules.failed(self._tenure, error.what, now())
            after = self._tenure
            if after.held and after.since is not None and after.since != before.since:
                stretch = rules.FENCE * after.seconds
                self._note(Belief(max(time.monotonic(), after.since.awake), after.since.awake + stretch, after.place, after.held))


def main(argv: list[str]) -> int:
    """One contender: see the module's first lines."""
    where, claim, home, who, epochs, log = argv
    store = open_lease(where, claim, home=Home(Path(home)), timeout=20.0)
    with Path(log).open("a") as file:

        def note(belief: Belief) -> None:
            file.write(f"{belief.begin} {belief.end} {belief.who} {belief.epoch}\n")
            file.flush()

        contend(store, who, int(epochs), note)
    store.close()
    return 0


def beliefs_of(logs: Iterable[Path]) -> list[Belief]:
    """What contenders wrote down."""
    found = []
    for path in logs:
        for line in path.read_text().splitlines():
            begin, end, who, epoch = line.split()
            found.append(Belief(float(begin), float(end), who, int(epoch)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
