"""Ending what is left of a service whose keeper is gone: by its control group, by the lock it holds, by the mark in its environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from .files import try_lock
from .keeper import children, kill_group, start_of

SWEEP_SECONDS = 10.0


def sweep(lock: Path, *, mark: str, cgroup: str) -> int:
    """Kill until nothing holds `lock`, carries `mark` or sits in `cgroup`. Returns how many were killed; gives up after ten seconds."""
    killed: set[tuple[int, int]] = set()
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        members = _members(cgroup)
        kill_group(cgroup)
        found = members | _marked(mark, children())  # an engine that is a subreaper gets a fork-and-exit chain's newest link at once
        found = found or _holders(lock) | _marked(mark, _pids())
        for pid in found - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                killed.add((pid, start_of(pid)))
                os.kill(pid, signal.SIGKILL)
        _reap_ours(found)
        if not found and _is_free(lock):
            break
    if cgroup:
        with contextlib.suppress(OSError):
            os.rmdir(cgroup)
    return len(killed)


def _members(cgroup: str) -> set[int]:
    try:
        return {int(pid) for pid in Path(cgroup, "cgroup.procs").read_text().split()} if cgroup else set()
    except OSError:
        return set()


def _holders(lock: Path) -> set[int]:
    """The processes that have the lock's file open."""
    try:
        wanted = lock.stat()
    except FileNotFoundError:
        return set()
    found = set()
    for pid in _pids():
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path) == str(lock) and os.stat(entry.path).st_ino == wanted.st_ino:
                        found.add(pid)
                        break
    return found


def _marked(mark: str, pids: Iterable[int]) -> set[int]:
    wanted = f"QCITY_SERVICE={mark}".encode()
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _reap_ours(pids: set[int]) -> None:
    """An engine that is a subreaper inherits orphans; as zombies they would be found for ever."""
    for pid in set(children()) & pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _is_free(lock: Path) -> bool:
    handle = try_lock(lock)
    if handle is None:
        return False
    os.close(handle)
    return True
