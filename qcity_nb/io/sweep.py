"""Ending what is left of a service whose keeper is gone: by its control group, by the lock it holds, by the mark in its environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from .files import try_lock
from .keeper import children, kill_group

SWEEP_SECONDS = 10.0


def sweep(lock: Path, *, mark: str, cgroup: str, subreaper: bool = False) -> int:
    """Kill until nothing holds `lock`, carries `mark` or sits in `cgroup`. Returns how many were killed; gives up after ten seconds.

    Args:
        subreaper: orphans come to this process; a chain that forks and exits is then caught at its newest link.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        found = _members(cgroup)
        kill_group(cgroup)
        if subreaper:
            reap_orphans()
            found |= _marked(mark, children())
        found = found or _holders(lock) | _marked(mark, _pids())
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        if not found and _is_free(lock):
            break
    if cgroup:
        with contextlib.suppress(OSError):
            os.rmdir(cgroup)
    return len(killed)


def reap_orphans() -> None:
    """Wait for every child of this process that has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


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


def _is_free(lock: Path) -> bool:
    handle = try_lock(lock)
    if handle is None:
        return False
    os.close(handle)
    return True
