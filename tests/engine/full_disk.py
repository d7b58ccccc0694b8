"""Scene of `test_full_disk.py`, run as a process of its own in a mount namespace of its own: `python full_disk.py FOLDER`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

from qcity_nb.engine.hosts import KernelHost
from qcity_nb.model.home import Home
from qcity_nb.store import commands, lease
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing.real_engine import RealEngine, alive, kill, until

NOT_PERMITTED = 77
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18


def pid_of(home: Home) -> int:
    """As the service itself wrote it down: the store may not be writable."""
    return int(json.loads((home.service("agent") / "proc.json").read_text())["pid"])


def main(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        sys.exit(NOT_PERMITTED)
    if libc.mount(b"test", os.fsencode(folder), b"tmpfs", 0, b"size=16m"):
        sys.exit(NOT_PERMITTED)
    store, _ = prepare(prepare_home(folder / "home"))
    host, seen = KernelHost(store), RealEngine(store)
    host.start()
    seen.run("agent", "sleep", "1000")
    assert store.home.ballast.exists()
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    for _round in range(3):  # supervising does not need the disk
        before = pid_of(store.home)
        kill(before)
        until(lambda before=before: pid_of(store.home) != before and alive(pid_of(store.home)))
        if store.home.ballast.exists():
            continue
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    filler.unlink()
    until(store.home.ballast.exists, seconds=90)
    with store.write() as connection:
        number = commands.ask(connection, store.place, "runner.stop", "agent", {}, at=datetime.now(timezone.utc))

    def stopped() -> bool:
        with store.read() as connection:
            return commands.get(connection, number).status == "done"

    until(stopped)
    assert seen.incidents(), "what happened on the full disk is in the store"
    seen.phase("agent", "stopped")
    with store.read() as connection:
        current = lease.current(connection, store.place)
    assert current is not None
    assert current.note == ""
    host.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
