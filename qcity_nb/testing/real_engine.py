"""A real engine in a process of its own, driven through the store as clients do, and programs for it to supervise."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from qcity_nb.io.files import is_locked
from qcity_nb.io.spool import ring
from qcity_nb.store import commands, history, lease, services
from qcity_nb.store.database import Store

T = TypeVar("T")

COUNTER = """
import os, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
with open(path + ".births", "a") as births:
    births.write(f"{os.getpid()}\\n")
import fcntl
lock = open(path + ".alone", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(path + ".DOUBLE", "a").write(f"{os.getpid()}\\n")
time.sleep(seconds)
"""

COMET = """
import os, sys, time
count = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
def fly():
    number = 0
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
        number += 1
        os.pwrite(count, b"%012d" % number, 0)
for _ in range(3):
    if os.fork() == 0:
        fly()
time.sleep(1000)
"""


def until(what: Callable[[], T | None], *, seconds: float = 60.0) -> T:
    """The first true answer of `what`, asked often; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.003)
    return answer


class RealEngine:
    """One home's engine."""

    def __init__(self, store: Store, url: str | None = None) -> None:
        self.store, self.home = store, store.home
        self._env = {**os.environ, **({"QCITY_STORE": url} if url else {})}
        self.started: list[subprocess.Popen[bytes]] = []

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start an engine's process without waiting."""
        argv = [sys.executable, "-m", "qcity_nb.engine", "--home", str(self.home.root)]
        with self.home.log.open("ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self._env)
        self.started.append(process)
        return process

    def start(self) -> subprocess.Popen[bytes]:
        """Start an engine and wait until it is one."""
        before = self.generation()
        process = self.spawn()
        until(lambda: is_locked(self.home.lock) and self.generation() > before)
        return process

    def generation(self) -> int:
        """How many engines this place has had."""
        with self.store.read() as connection:
            found = lease.current(connection, self.store.place)
        return found.generation if found else 0

    def ask(self, verb: str, subject: str = "", **args: object) -> commands.Command:
        """Ask for something and wait for the answer."""
        with self.store.write() as connection:
            number = commands.ask(connection, self.store.place, verb, subject, args, at=datetime.now(timezone.utc))
        ring(self.home.doorbell)

        def answered() -> commands.Command | None:
            with self.store.read() as connection:
                command = commands.get(connection, number)
            return command if command.status not in ("new", "running") else None

        return until(answered)

    def run(self, name: str, *argv: str, **args: object) -> services.ServiceRow:
        """Start a service of the kind `command` and wait until it is said to run."""
        answer = self.ask("runner.start", name, kind="command", options={"command": list(argv)}, **args)
        assert answer.status == "done", answer
        return until(lambda: self.row(name) if self.row(name).state.phase.value == "running" else None)

    def row(self, name: str) -> services.ServiceRow:
        """A service as the store knows it."""
        with self.store.read() as connection:
            return {row.name: row for row in services.all_of(connection, self.store.place)}[name]

    def phase(self, name: str, *wanted: str, seconds: float = 20.0) -> services.ServiceRow:
        """Wait until a service is in one of the wanted phases."""
        until(lambda: self.row(name).state.phase.value in wanted, seconds=seconds)
        return self.row(name)

    def reborn(self, name: str, pid: int | None) -> int:
        """Wait until a service has another pid."""
        found = until(lambda: self.row(name).pid if self.row(name).pid not in (None, pid) else None)
        assert found is not None
        return found

    def incidents(self) -> list[history.Incident]:
        """All incidents."""
        with self.store.read() as connection:
            return history.latest_incidents(connection, self.store.place)

    def end(self) -> None:
        """End everything, whatever state it is in."""
        if not is_locked(self.home.lock):
            self.start()
        while is_locked(self.home.lock):  # an engine that was late for a race may take over from the one that ends
            self.ask("engine.stop", runners=True)
            until(lambda: not is_locked(self.home.lock) or any(process.poll() is None for process in self.started), seconds=30)
            for process in self.started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)


@contextlib.contextmanager
def engine_of(store: Store, url: str | None = None) -> Iterator[RealEngine]:
    """An engine that is up, and gone with all it started afterwards."""
    engine = RealEngine(store, url)
    engine.start()
    try:
        yield engine
    finally:
        engine.end()


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def kill(pid: int) -> None:
    """Send kill -9 to something that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
