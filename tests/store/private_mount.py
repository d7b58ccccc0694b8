"""Scenes of `test_mounts.py`, each run as a process of its own in a mount namespace of its own: `python private_mount.py SCENE FOLDER`.

Mounts made here are seen by nobody else and end with the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from qcity_nb.errors import HomeError, StoreFull
from qcity_nb.model.home import Home
from qcity_nb.store import commands
from qcity_nb.store.database import Store, prepare, prepare_home, refuse_remote

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_RDONLY, MS_REMOUNT = 0x20000, 0x4000, 1 << 18, 1, 32
NOT_PERMITTED = 77
NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)


def mount(kind: str, folder: Path, options: str = "", flags: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True) if not flags else None
    if LIBC.mount(b"test", os.fsencode(folder), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {kind}")


def in_private() -> None:
    """Leave the machine's mount namespace."""
    if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        print("mounting is not permitted here")
        sys.exit(NOT_PERMITTED)


def ask(store: Store, number: int) -> None:
    with store.write() as connection:
        commands.ask(connection, store.place, "job.rerun", f"row {number}", {"filling": "x" * 5000}, at=NOW)


def rows(store: Store) -> list[str]:
    with store.read() as connection:
        return [command.subject for command in commands.latest(connection, store.place, limit=100_000)]


def full_disk(folder: Path) -> None:
    """All that was acknowledged stays readable, the error is a sentence, and when space is freed it goes on."""
    mount("tmpfs", folder, "size=3m")
    store, _ = prepare(prepare_home(folder / "home"))
    for number in range(20):
        ask(store, number)
    filler = folder / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(b"x" * (8 << 20))
    kept = 20
    with pytest.raises(StoreFull, match="Free some space") as caught:
        while kept < 5000:
            ask(store, kept)
            kept += 1
    assert not caught.value.permanent
    assert rows(store) == [f"row {number}" for number in range(kept)]
    store.close()
    store, said = prepare(Home(folder / "home"))
    assert said == "", "a full disk is no damage"
    filler.unlink()
    ask(store, kept)
    assert len(rows(store)) == kept + 1
    assert sqlite3.connect(store.home.store).execute("pragma integrity_check").fetchone() == ("ok",)


def full_from_the_start(folder: Path) -> None:
    """A home on a disk without a free byte is refused with a sentence."""
    mount("tmpfs", folder, "size=64k,nr_inodes=2")
    with pytest.raises(StoreFull, match="full"):
        prepare(prepare_home(folder / "home"))


def read_only(folder: Path) -> None:
    """A home that cannot be written is refused with the way out, new or old."""
    mount("tmpfs", folder, "size=3m")
    prepare(prepare_home(folder / "old"))[0].close()
    mount("tmpfs", folder, "", MS_REMOUNT | MS_RDONLY)
    for name in ("old", "new"):
        with pytest.raises(HomeError, match="QCITY_HOME"):
            prepare_home(folder / name)


def remote(folder: Path) -> None:
    """A real FUSE mount that the kernel lists; nobody answers on it, so it must be refused without being touched."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
        mount("fuse", folder, f"fd={device},rootmode=40000,user_id=0,group_id=0")
    except OSError as error:
        print(f"no FUSE here: {error}")
        sys.exit(NOT_PERMITTED)
    with pytest.raises(HomeError, match=r"fuse.*QCITY_STORE") as caught:
        refuse_remote(Home(folder / "home"))
    assert str(folder) in str(caught.value)
    os._exit(0)  # without a look at the mount, which would hang


if __name__ == "__main__":
    in_private()
    {"full_disk": full_disk, "full_from_the_start": full_from_the_start, "read_only": read_only, "remote": remote}[sys.argv[1]](Path(sys.argv[2]))
