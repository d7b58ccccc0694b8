"""Where the engine runs, seen from a client: in a process of its own, or in this one. Only ever *starts* one; talking goes through the store."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from typing import Protocol

from ..decide.wording import since
from ..errors import EngineError
from ..io.files import is_locked, tail
from ..model.home import Home
from ..store import lease
from ..store.database import Store

START_SECONDS = 15.0


class Host(Protocol):
    """What a client needs of whoever runs the engine."""

    def ensure(self) -> str:
        """Start an engine if there is none; a sentence when a dead one had to be replaced, else empty. Raises `EngineError`."""

    def pump(self, seconds: float) -> None:
        """Let time pass, at most this long; a host that runs the engine in this thread runs it meanwhile."""

    def close(self) -> None:
        """End what lives only as long as this client."""


class Inline(Protocol):
    """An engine inside this process, as `engine.hosts` offers it."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""


class Pumped(Inline, Protocol):
    """An engine that runs only while it is pumped."""

    def pump(self, seconds: float) -> None:
        """Run the loop for at most this long, or until something happened."""


def spawn(home: Home, module: str = "qcity_nb.engine") -> subprocess.Popen[bytes]:
    """Start the engine's process: its own session, no terminal, output to `engine.log`, so that it survives whoever asked for it."""
    with home.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, "--home", str(home.root)],
            cwd=home.root,  # not the caller's folder, which may go away
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )


class ProcessHost:
    """The engine as a detached process, the default: it survives the interrupt, restart and shutdown of a kernel and the end of a terminal.

    Args:
        module: what is run as the engine.
    """

    def __init__(self, store: Store, module: str = "qcity_nb.engine") -> None:
        self._store, self._home, self._module = store, store.home, module
        self._child: subprocess.Popen[bytes] | None = None

    def ensure(self) -> str:
        """Start an engine if there is none."""
        if is_locked(self._home.lock):
            return ""
        before = _died(self._store)
        self._reap()
        self._child = spawn(self._home, self._module)
        deadline = time.monotonic() + START_SECONDS
        while not is_locked(self._home.lock):
            if self._child.poll() is not None and not is_locked(self._home.lock):
                code = self._child.returncode
                raise _failed(self._home, f"with exit code {code}" if code >= 0 else f"because it was killed (signal {-code})")
            if time.monotonic() > deadline:
                raise _failed(self._home, f"within {START_SECONDS:.0f} s")
            time.sleep(0.01)
        return _replaced(before)

    @property
    def starting(self) -> bool:
        """Whether a process was started that is not the engine yet."""
        return self._child is not None and self._child.poll() is None and not is_locked(self._home.lock)

    def pump(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def close(self) -> None:
        """Forget the engine's process; it goes on by itself."""
        self._reap()
        if self._child is not None:
            self._child.returncode = 0  # not ours to wait for: without this, Popen warns that it still runs
            self._child = None

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self._child = None


class InlineHost:
    """The engine inside this process: in a thread (`kernel`), or in the caller's own thread while it waits (`once`)."""

    def __init__(self, store: Store, engine: Inline) -> None:
        self._store, self._engine = store, engine
        self._started = False

    def ensure(self) -> str:
        """Start the engine if there is none on this home, whoever runs it."""
        if is_locked(self._store.home.lock):
            return ""
        before = _died(self._store)
        self._engine.start()
        self._started = True
        return _replaced(before)

    def pump(self, seconds: float) -> None:
        """Run the engine when it needs this thread, else sleep."""
        pump = getattr(self._engine, "pump", None)
        if self._started and pump is not None:
            pump(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """End the engine, if it is ours."""
        if self._started:
            self._started = False
            self._engine.close()


def _died(store: Store) -> datetime | None:
    """The last sign of life of an engine that ended without saying so."""
    with store.read() as connection:
        last = lease.current(connection, store.place)
    return last.renewed if last is not None and last.released is None else None


def _replaced(before: datetime | None) -> str:
    if before is None:
        return ""
    return f"The engine had died (last sign of life {since(before, datetime.now(timezone.utc))}); a new one took over."


def _failed(home: Home, how: str) -> EngineError:
    said = [text for text in tail(home.log, lines=3) if text.strip()]
    last = f'; the last it said was "{said[-1].strip()}"' if said else ""
    return EngineError(f"the engine for {home.root} did not start {how}{last}", f"Look into {home.log}; qcity doctor says what may be missing")


def engine_pid(holder: str) -> int | None:
    """The pid in a lease's holder (`host:pid`), when it is one of this machine."""
    host, _, pid = holder.rpartition(":")
    with contextlib.suppress(ValueError):
        return int(pid) if host in ("", os.uname().nodename) else None
    return None
