"""Programs of others that hold a tunnel: ended whole and watched without asking, their log kept short, their file known by its digest.

They run in a session of their own below the process that wants them, so that one signal reaches all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from .files import bound, tail

T = TypeVar("T")
LOG_BYTES, LOG_SECONDS = 256 << 10, 5.0
"""The most that a log may hold, and seconds between two looks at that."""
GRACE_SECONDS = 1.0
ANSWER_BYTES, DIGEST_SECONDS = 1 << 20, 0.3


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Do it in a thread that nobody waits for at the end: a call that never returns keeps neither a loop nor the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    done.add_done_callback(lambda future: future.cancelled() or future.exception())  # one that nobody waited for says nothing

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None is what such work returns

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001  # it is raised where it is waited for
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True, name="qcity-agent").start()
    return done


def kill(process: subprocess.Popen[Any], number: int = signal.SIGKILL) -> list[psutil.Process]:
    """Send a signal to a process and all below it, and to its group where that is its own; those that were below it."""
    if process.returncode is not None:
        return []  # its number may be somebody else's by now
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(OSError):
        (os.killpg if os.getpgid(process.pid) == process.pid else os.kill)(process.pid, number)
    _send(below, number)
    return below


def _send(processes: Iterable[psutil.Process], number: int) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.send_signal(number)


async def end(process: subprocess.Popen[Any], *, grace: float = GRACE_SECONDS) -> None:
    """Ask it to end, so that its service learns of it; after `grace` seconds, or at once with 0, kill all of it. Does not raise.

    What was below it when it was asked is killed too when it has outlived the process itself.
    """
    gone = in_thread(process.wait)
    asked: list[psutil.Process] = []
    if grace and not gone.done():
        asked = kill(process, signal.SIGTERM)
        await asyncio.wait({gone}, timeout=grace)
    below = {*asked, *kill(process)}
    _send(asked, signal.SIGKILL)
    await asyncio.wait({gone}, timeout=GRACE_SECONDS)
    await in_thread(lambda: _wait(below))


def _wait(processes: Iterable[psutil.Process]) -> None:
    """Until they are dead. psutil's own waiting takes one for alive that its parent has not asked about."""
    until = time.monotonic() + GRACE_SECONDS
    while any(map(_alive, processes)) and time.monotonic() < until:
        time.sleep(0.01)


def _alive(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    return False


def ending(process: subprocess.Popen[Any]) -> str:
    """How it ended, in words; empty while it lives."""
    code = process.returncode
    return "" if code is None else f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


class Agent:
    """A program that writes its log to a file (never to a pipe, which fills up) and whose end is an event.

    Args:
        argv: without secrets.
        log: its file, at most twice `LOG_BYTES` with what was moved away.
        env: the whole environment.
    """

    def __init__(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str]) -> None:
        self.argv, self._log, self._env = list(argv), log, dict(env)
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), "ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True, cwd=self._log.parent
            )
        self._tasks = {asyncio.ensure_future(self._watch(self.process)), asyncio.ensure_future(self._shorten())}

    def lines(self) -> list[str]:
        """The last lines of its log."""
        return tail(self._log)

    async def end(self, *, grace: float = GRACE_SECONDS) -> None:
        """End it; nothing of it is left. Repeatable."""
        if self.process is not None:
            await end(self.process, grace=grace)
        for task in self._tasks:
            task.cancel()

    async def _watch(self, process: subprocess.Popen[bytes]) -> None:
        await in_thread(process.wait)
        self.ended.set()

    async def _shorten(self) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self.ended.wait(), LOG_SECONDS)
            with contextlib.suppress(OSError):  # a full disk: it is tried again
                bound(self._log, limit=LOG_BYTES)


_KNOWN: dict[tuple[str, int, int], str] = {}


def digest(path: str) -> str:
    """The SHA-256 of a program's file; kept for as long as the file stays the same. Blocks: call it in a thread.

    Raises:
        OSError: it cannot be read.
    """
    real = os.path.realpath(path)
    found = os.stat(real)
    key = (real, found.st_mtime_ns, found.st_size)
    if key not in _KNOWN:
        counted = hashlib.sha256()
        with open(real, "rb") as file:
            while piece := file.read(1 << 20):
                counted.update(piece)
        _KNOWN[key] = counted.hexdigest()
    return _KNOWN[key]


async def digested(known: asyncio.Future[str], show: Callable[[str], None]) -> None:
    """Show a digest: the result when it is there soon, nothing at first when it is not."""
    await asyncio.wait({known}, timeout=DIGEST_SECONDS)

    def tell(done: asyncio.Future[str]) -> None:
        show(done.result() if done.done() and not done.cancelled() and done.exception() is None else "")

    tell(known)
    if not known.done():
        known.add_done_callback(tell)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(address: str, path: str, *, seconds: float) -> tuple[int, bytes]:
    """GET from a program on this machine, without the proxies of the environment: status and body, or 0 and nothing when there is no answer in time.

    Args:
        address: `host:port`.
        seconds: for the whole of it, slow answers too.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, asyncio.TimeoutError, TimeoutError):
        head, _, body = (await asyncio.wait_for(_get(address, path), seconds)).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body
    return 0, b""


async def _get(address: str, path: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host or "127.0.0.1", int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n".encode())
        raw = b""
        while len(raw) < ANSWER_BYTES and (piece := await reader.read(1 << 16)):
            raw += piece
        return raw
    finally:
        writer.close()
