"""Three ways to run the same loop: as a process of its own, in a thread of a kernel, or once and out."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ..errors import EngineError, StoreCorrupt, StoreError
from ..io.clock import SystemClock
from ..io.files import try_lock
from ..io.processes import LinuxProcesses
from ..io.spool import Doorbell, ring
from ..io.wire import FileWire
from ..kinds import load
from ..kinds.leases import open_lease
from ..kinds.notifiers import Messenger
from ..kinds.places.here import ruling
from ..kinds.platforms.reader import Reader
from ..kinds.vaults.saver import Saver
from ..ports import RunnerKind
from ..store.database import Store, prepare
from .loop import Engine

LOOKS = 10
POLL_SECONDS = 1.0
"""A command that comes without a ring (from another machine, through PostgreSQL) is found within this time."""


def runner_kind(name: str) -> RunnerKind:
    """A runner kind from the table."""
    kind: RunnerKind = load("runners", name)
    return kind


def _take(path: Path) -> int | None:
    """The home's lock. Somebody who only looks whether it is held holds it for a moment, so one refusal is none."""
    for _look in range(LOOKS):
        if (lock := try_lock(path)) is not None:
            return lock
        time.sleep(0.01)
    return None


class Host:
    """An engine with the real world around it, and the waiting between two ticks.

    Args:
        store: an open store.
        host: what to call this host: process, kernel or once.
        subreaper: let orphans of services come to this process; only where nothing else has children.

    Raises:
        EngineError: another engine of this home is alive.
    """

    def __init__(self, store: Store, *, host: str, subreaper: bool = False) -> None:
        lock = _take(store.home.lock)
        if lock is None:
            raise EngineError(f"another engine of {store.home.root} is alive", "qcity engine status says which", permanent=False)
        self._lock, self._store = lock, store
        self._bell = Doorbell(store.home.doorbell)
        self._processes = LinuxProcesses(store.home, store.place, subreaper=subreaper)
        self._clock = SystemClock()
        self._messenger = Messenger(store.home, lambda: ring(store.home.doorbell))
        self.engine = Engine(
            store=store,
            clock=self._clock,
            processes=self._processes,
            wire=FileWire(store.home),
            kinds=runner_kind,
            home=store.home,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            host=host,
            messenger=self._messenger,
            saver=Saver(),
            reader=Reader(lambda: ring(store.home.doorbell)),
            leases=lambda where, claim, seconds: open_lease(where, claim, home=store.home, timeout=seconds),
            ruling=ruling,
            wake=lambda: ring(store.home.doorbell),
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)  # for people; the lock itself is what counts
        self.engine.start()

    def run(self, until: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Tick until `until()` holds, the engine is over, or the time is up."""
        end = None if seconds is None else time.monotonic() + seconds
        while not until() and not self.engine.over:
            due = self.engine.tick()
            wait = min((due - self._clock.now()).total_seconds(), POLL_SECONDS)
            if until() or self.engine.over or (end is not None and time.monotonic() >= end):
                return
            late = self._processes.deadline()
            limits = [wait, *([late - time.monotonic()] if late is not None else []), *([end - time.monotonic()] if end is not None else [])]
            self._wait(max(0.0, min(limits)))

    def close(self, *, lock: bool = True) -> None:
        """Let go of everything; services go on running.

        Args:
            lock: of the home's lock too; else it is held until this process is gone, so that whoever waits for it finds no process.
        """
        self.engine.stop()
        self._messenger.close()
        self._bell.close()
        self._store.close()  # before the lock: whoever waits for it may take the home away
        if lock:
            os.close(self._lock)

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        for fd in (self._bell.fd, *self._processes.fds()):
            poll.register(fd, select.POLLIN)
        if poll.poll(seconds * 1000):
            self._bell.clear()


class KernelHost:
    """The loop in a thread of this process, for places where no process may be started beside it.

    Args:
        store: an open store, for nobody else: it is closed at the end.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the loop. Raises `EngineError` when another engine of this home is alive."""
        self._store.look_again()
        self._thread = threading.Thread(target=self._live, name="qcity-engine", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """End the loop; services go on running."""
        self._ended.set()
        ring(self._store.home.doorbell)
        if self._thread is not None:
            self._thread.join(10)

    def _live(self) -> None:
        try:
            host = Host(self._store, host="kernel")
        except BaseException as error:  # noqa: BLE001  # handed to whoever called start()
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        while True:
            try:
                host.run(self._ended.is_set)
            finally:
                host.close()
            if not host.engine.context.lost_store or self._ended.is_set():
                return
            self._store = _again(self._store)
            host = Host(self._store, host="kernel")


class OnceHost:
    """The loop while somebody waits for it: a papermill run, CI, cron. What it started ends with it.

    Args:
        store: an open store, for nobody else: it is closed at the end.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._host: Host | None = None

    def start(self) -> None:
        """Become the engine. Raises `EngineError` when another engine of this home is alive."""
        self._store.look_again()
        self._host = Host(self._store, host="once")

    @property
    def alive(self) -> bool:
        """Whether this is the engine."""
        return self._host is not None

    def pump(self, seconds: float) -> None:
        """Run the loop for so long."""
        if self._host is None:
            return
        self._host.run(lambda: False, seconds=seconds)
        if self._host.engine.context.lost_store:
            self._host.close()
            self._store = _again(self._store)
            self.start()

    def close(self) -> None:
        """End what was started, then the engine."""
        if self._host is None:
            return
        self._host.engine.end_with_services()
        self._host.run(lambda: False, seconds=60)
        self._host.close()
        self._host = None


def _again(store: Store) -> Store:
    """The store at the same place, restored where that was needed."""
    return prepare(store.home, None if store.embedded else store.url.render_as_string(hide_password=False))[0]


LOST_STORE = 3


def serve(store: Store) -> int:
    """Be the engine in a process of its own until asked to end.

    Returns:
        The exit code: 0 asked to end or not needed, 1 fenced off, `LOST_STORE` when the store has to be prepared anew.
    """
    try:
        host = Host(store, host="process", subreaper=True)
    except EngineError:
        return 0  # there is one: that is all anybody wanted
    ended = threading.Event()

    def end(_number: int, _frame: object) -> None:
        ended.set()
        ring(store.home.doorbell)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal it was started from may go
    while not ended.is_set() and not host.engine.over:
        try:
            host.run(ended.is_set)
        except StoreCorrupt as error:
            print(error, file=sys.stderr, flush=True)
            host.engine.context.lost_store = True
        except StoreError as error:  # said, and tried again: a database that is away comes back
            print(error, file=sys.stderr, flush=True)
            host.engine.context.note = str(error)
            time.sleep(POLL_SECONDS)
        except Exception:  # noqa: BLE001  # the tick's one catch-all: recorded, and supervising goes on
            traceback.print_exc()
            host.engine.context.note = f"a tick failed: {traceback.format_exc(limit=1).strip().splitlines()[-1]} (see {store.home.log})"
            time.sleep(POLL_SECONDS)
    lost = host.engine.context.lost_store
    with contextlib.suppress(StoreError):
        host.close(lock=lost)
    if lost:
        return LOST_STORE
    return 1 if host.engine.fenced else 0
