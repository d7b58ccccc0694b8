"""Services as process trees on Linux: started once by an inherited lock, found again by it, watched without asking (pidfd), ended entirely.

Each service has a folder with `lock` (held by everything of it), `proc.json` (who it is), `exit.json` (how it ended) and `log`.
The engine never holds a pipe of a service, so nothing of a service ends when the engine does.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import EngineError
from ..model.home import Home
from ..model.service import Exit, Identity, ServiceSpec
from ..ports import Alive, Ended, Launch
from . import keeper
from .files import try_lock
from .sweep import reap_orphans, sweep

REPLY_SECONDS = 10.0
LOCK_SECONDS = 0.5
PATIENCE = 3.0  # past its grace, a keeper that does not answer is taken for frozen


@dataclass
class _Watched:
    """A tree that lives. `fd` is the pidfd of its keeper or, when that is gone, of its main process."""

    fd: int
    incarnation: int
    record: dict[str, Any]
    kept: bool
    kill_at: float | None = None


class LinuxProcesses:
    """The real `Processes`.

    Args:
        home: where the services' folders are.
        place: the home's id; part of the mark that every process of a service carries in its environment.
        subreaper: let orphans of services come to this process. Only for a process that has no other children.
    """

    def __init__(self, home: Home, place: str, *, subreaper: bool = False) -> None:
        if not sys.platform.startswith("linux"):
            raise EngineError(f"services can be supervised on Linux only for now, this is {sys.platform}", "use a Linux machine, WSL 2 or Colab")
        self._home, self._place, self._subreaper = home, place, subreaper
        if subreaper:
            keeper.PRCTL(keeper.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._watched: dict[str, _Watched] = {}
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._cgroups = _cgroup_root(place)

    def mark(self, name: str) -> str:
        """What processes of a service carry as QCITY_SERVICE in their environment."""
        return f"{self._place}/{name}"

    def find(self, name: str) -> Alive | Ended | None:
        """What lives of a service, how it ended, or None; see `ports.Processes`."""
        record = self._record(name)
        if not record and not (self._folder(name) / "lock").exists():
            return None
        if not self._is_free(name):
            record = self._settled_record(name, record)
        main = _alive(record, "pid", "start")
        if record and _alive(record, "keeper", "keeper_start") and not self._is_free(name):
            self._watch(name, record, pid=record["keeper"], kept=True)
            return Alive(incarnation=record["incarnation"], main=main)
        if main is not None:
            self._watch(name, record, pid=main.pid, kept=False)
            return Alive(incarnation=record["incarnation"], main=main)
        if not record:
            self._sweep(name, record)
            return None
        return Ended(name=name, incarnation=record["incarnation"], how=self._end_of(name, record))

    def strays(self, known: AbstractSet[str]) -> Sequence[ServiceSpec]:
        """What lives and is not known; see `ports.Processes`."""
        found = []
        for path in sorted((self._home.root / "services").glob("*/spec.json")):
            if path.parent.name not in known and not self._is_free(path.parent.name):
                with contextlib.suppress(OSError, msgspec.DecodeError):  # half a file, of a disk that was full: its name has to be started again
                    found.append(msgspec.json.decode(path.read_bytes(), type=ServiceSpec))
        return found

    def start(self, spec: ServiceSpec, launch: Launch, *, incarnation: int, generation: int) -> int:
        """Start an incarnation; see `ports.Processes`."""
        folder = self._folder(spec.name)
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # only a damaged store ever needs it
            (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
        lock = _take(folder / "lock", spec.name)
        log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        answer, reply = os.pipe()
        env = {**launch.env, "QCITY_SERVICE": self.mark(spec.name), "QCITY_INCARNATION": str(incarnation)}
        request: dict[str, Any] = {"argv": launch.argv, "env": env, "cwd": str(launch.cwd), "folder": str(folder)}
        request["cgroup"] = self._cgroup(spec.name, incarnation)
        if launch.fenced:
            request["fenced"] = True
        request |= {"incarnation": incarnation, "generation": generation, "stop_signal": spec.stop_signal, "grace": spec.grace.total_seconds()}
        try:
            (folder / "stop.json").unlink(missing_ok=True)
            self._send(json.dumps(request).encode(), (lock, log, reply))
        finally:
            for fd in (lock, log, reply):
                os.close(fd)
        told = _read_answer(answer)
        if "error" in told:
            raise OSError(0, told["error"])
        record = {**self._record(spec.name), "keeper": told["keeper"], "incarnation": incarnation}
        self._watch(spec.name, record, pid=told["keeper"], kept=True)
        return int(told["pid"])

    def end(self, name: str, *, stop_signal: int, grace: float) -> None:
        """Ask a tree to end; see `ports.Processes`."""
        seen = self._watched.get(name)
        if seen is None:
            return
        with contextlib.suppress(OSError):  # on a full disk the keeper goes by what it was told at the start
            keeper.write_whole(self._folder(name) / "stop.json", {"stop_signal": stop_signal, "grace": grace})
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(seen.fd, signal.SIGTERM if seen.kept else stop_signal)
            signal.pidfd_send_signal(seen.fd, signal.SIGCONT)
        seen.kill_at = time.monotonic() + grace + (PATIENCE if seen.kept else 0)

    def ended(self) -> Sequence[Ended]:
        """The trees that are gone since the last call."""
        gone = []
        if self._subreaper:
            reap_orphans()
        for name, seen in list(self._watched.items()):
            late = seen.kill_at is not None and time.monotonic() > seen.kill_at
            if late:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(seen.fd, signal.SIGKILL)
            if late or _readable(seen.fd):
                how = self._bury(name, seen, late=late)
                if how is not None:
                    gone.append(Ended(name=name, incarnation=seen.incarnation, how=how))
        return gone

    def fds(self) -> list[int]:
        """Descriptors that become readable when a tree may be gone."""
        return [seen.fd for seen in self._watched.values()]

    def deadline(self) -> float | None:
        """When `ended` has to be asked at the latest (`time.monotonic` seconds), or None."""
        return min((seen.kill_at for seen in self._watched.values() if seen.kill_at is not None), default=None)

    def close(self) -> None:
        """Stop watching; the services go on."""
        for seen in self._watched.values():
            os.close(seen.fd)
        self._watched.clear()
        if self._server is not None:
            self._server[1].close()
            self._server[0].wait()
            self._server = None

    def _bury(self, name: str, seen: _Watched, *, late: bool) -> Exit | None:
        """What a watched process' end means: the service's end, or only its keeper's (None: its main process lives on and is watched now)."""
        os.close(seen.fd)
        del self._watched[name]
        main = _alive(seen.record, "pid", "start")
        if seen.kept and main is not None and not late:
            self._watch(name, seen.record, pid=main.pid, kept=False)
            if seen.kill_at is not None:
                self._watched[name].kill_at = seen.kill_at
            return None
        return self._end_of(name, seen.record)

    def _end_of(self, name: str, record: dict[str, Any]) -> Exit:
        """How an incarnation ended; whatever its keeper could not end is ended now."""
        try:
            last = json.loads((self._folder(name) / "exit.json").read_text())
        except (OSError, ValueError):
            last = {}
        if last.get("incarnation") != record["incarnation"]:
            return Exit(leftovers=self._sweep(name, record))
        swept = 0 if last["clean"] and self._is_free(name) else self._sweep(name, record)
        return Exit(code=last["code"], signal=last["signal"], leftovers=last["leftovers"] + swept)

    def _watch(self, name: str, record: dict[str, Any], *, pid: int, kept: bool) -> None:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:  # gone between the look and the watch: a pipe whose end is closed is readable at once
            fd, write = os.pipe()
            os.close(write)
        self._watched[name] = _Watched(fd=fd, incarnation=record["incarnation"], record=record, kept=kept)

    def _sweep(self, name: str, record: dict[str, Any]) -> int:
        return sweep(self._folder(name) / "lock", mark=self.mark(name), cgroup=record.get("cgroup", ""), subreaper=self._subreaper)

    def _settled_record(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """The record of what holds the lock: a start under way when the last engine died may not have written it yet."""
        deadline = time.monotonic() + 2.0
        while not (_alive(record, "keeper", "keeper_start") or _alive(record, "pid", "start")) and time.monotonic() < deadline:
            if self._is_free(name):
                break
            time.sleep(0.005)
            record = self._record(name)
        return record

    def _record(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._folder(name) / "proc.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _is_free(self, name: str) -> bool:
        handle = try_lock(self._folder(name) / "lock")
        if handle is None:
            return False
        os.close(handle)
        return True

    def _folder(self, name: str) -> Path:
        return self._home.service(name)

    def _cgroup(self, name: str, incarnation: int) -> str:
        if self._cgroups is None:
            return ""
        path = self._cgroups / f"{name}-{incarnation}"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError:
            return ""
        return str(path)

    def _send(self, raw: bytes, fds: tuple[int, int, int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]
        for last in (False, True):
            try:
                self._channel().sendmsg([raw], rights)
                return
            except (BrokenPipeError, ConnectionResetError):  # somebody killed the fork server: another one is as good
                self._server = None
                if last:
                    raise

    def _channel(self) -> socket.socket:
        if self._server is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            argv = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(theirs.fileno())]
            with theirs:
                server = subprocess.Popen(
                    argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, env={}
                )
            self._server = (server, ours)
        return self._server[1]


def _cgroup_root(place: str) -> Path | None:
    """A folder of control groups (v2) that we may write, or None."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _device, where, kind, *_rest = line.split()
            if kind == "cgroup2" and os.access(where, os.W_OK) and os.geteuid() == 0:
                return Path(where, "qcity", place[:12])
    return None


def _take(path: Path, name: str) -> int:
    """The service's lock; the last holder of an ended incarnation may need a moment to let go of it."""
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise BlockingIOError(f"something of {name} still lives")
        time.sleep(0.001)
    return lock


def _alive(record: dict[str, Any], pid: str, start: str) -> Identity | None:
    """The process that a record names, if it is that one, not another with its pid, and not a zombie."""
    if not record or record.get("boot") != keeper.boot_id():
        return None
    if keeper.start_of(record[pid]) != record[start] or not record[start]:
        return None
    return Identity(pid=record[pid], start=record[start], boot=record["boot"])


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _read_answer(fd: int) -> dict[str, Any]:
    """What the new keeper says. A closed pipe or silence is an error, in words."""
    try:
        ready, _, _ = select.select([fd], [], [], REPLY_SECONDS)
        raw = os.read(fd, 65536) if ready else b""
    finally:
        os.close(fd)
    if not raw:
        return {"error": "its keeper ended before it could say anything" if ready else f"its keeper said nothing for {REPLY_SECONDS:.0f} s"}
    answer: dict[str, Any] = json.loads(raw)
    return answer
