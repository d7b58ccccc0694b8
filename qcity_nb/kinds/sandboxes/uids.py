"""A uid of its own for each slot of a root runner: unused by any person or process, and held by a lock that ends with us."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

FIRST, LAST = 60100, 60499  # below the ranges of systemd, above those of people and packages


def lease(count: int) -> tuple[list[int], list[socket.socket]]:
    """`count` free uids, and what holds them: abstract sockets, which the kernel frees with their holder, whatever ends it."""
    used = _used()
    uids: list[int] = []
    holds: list[socket.socket] = []
    for uid in range(FIRST, LAST + 1):
        if len(uids) == count:
            break
        if uid in used or _named(uid):
            continue
        hold = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            hold.bind(f"\0qcity-uid-{uid}")
        except OSError:
            hold.close()
            continue
        uids.append(uid)
        holds.append(hold)
    if len(uids) < count:
        raise OSError(11, f"only {len(uids)} of {count} uids from {FIRST} to {LAST} are free")
    return uids, holds


def _named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _used() -> set[int]:
    used: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                used.add(os.stat(entry).st_uid)
            except OSError:
                continue
    return used
