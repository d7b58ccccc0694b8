"""A home's store as one file that is whole or nothing: packed from a consistent copy, checked before it is opened, put in the old one's place.

In it are the store, with all history and the audit's rows, and settings that are no secrets. Tokens, keys and logs stay on the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from ..errors import HomeError, Refused, StoreCorrupt, StoreError
from ..model.home import Home
from . import sealing
from .files import try_lock, write_atomic

MAGIC = b"qcity-vault 1\n"
SETTINGS = ("places.json", "vaults.json", "cells")
"""What goes along beside the store, by its name below the home."""
UNPACKED = 4 << 30
LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class About:
    """What a copy says of itself, inside: whose it is, and which version of the schema."""

    place: str
    schema: str


def snapshot(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file, while others write it; verified.

    Raises:
        StoreError: it cannot be made now.
        StoreCorrupt: the source is damaged.
    """
    try:
        with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
            old.backup(new)
            verdict = new.execute("pragma quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.OperationalError as error:
        raise StoreError(f"no copy of the store could be made ({error})", "it is tried again", permanent=False) from error
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"the store {source} is damaged ({error})", "its last good copy will be restored") from error


def pack(home: Home, about: About, room: Path, *, passphrase: str = "") -> bytes:
    """The home's store and settings as one copy, encrypted if there is a passphrase.

    Args:
        room: an empty folder to work in.

    Raises:
        StoreError: no copy can be made now.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=LEVEL) as tar:
        part = room / home.store.name
        snapshot(home.store, part)
        tar.add(part, home.store.name)
        _add(tar, "about.json", json.dumps({"place": about.place, "schema": about.schema}).encode())
        for name in SETTINGS:
            if (home.root / name).exists():
                tar.add(home.root / name, name)
    body = raw.getvalue()
    header = MAGIC + (b"sealed\n" if passphrase else b"plain\n")
    if passphrase:
        body = sealing.seal(body, passphrase, bound=header)
    return header + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(data: bytes, room: Path, *, name: str, passphrase: str = "") -> About:
    """Put what is in a copy below a folder of its own, after checking all of it.

    Raises:
        Refused: it is damaged, cut off or sealed with another passphrase; the sentence says which.
    """
    damaged = Refused(f"the copy {name} is damaged or cut off", "Restore the one before it")
    kind, _, rest = data.removeprefix(MAGIC).partition(b"\n")
    digest, _, body = rest.partition(b"\n")
    if not data.startswith(MAGIC) or kind not in (b"sealed", b"plain") or hashlib.sha256(body).hexdigest().encode() != digest:
        raise damaged
    if kind == b"sealed":
        if not passphrase:
            raise Refused(f"the copy {name} is sealed, and no passphrase is here", "Set QCITY_VAULT_PASSPHRASE to the one it was sealed with")
        body = sealing.unseal(body, passphrase, bound=MAGIC + kind + b"\n")
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
            _extract(tar, room)
        about = json.loads((room / "about.json").read_text())
        with contextlib.closing(sqlite3.connect(room / "qcity.db")) as found:
            if found.execute("pragma quick_check(1)").fetchone()[0] != "ok":
                raise damaged
        return About(place=str(about["place"]), schema=str(about["schema"]))
    except (tarfile.TarError, sqlite3.DatabaseError, OSError, EOFError, ValueError, KeyError):
        raise damaged from None


def install(home: Home, room: Path, about: About, *, fresh: bool = False) -> Path | None:
    """Put what was unpacked in the place of the home's own store, which is kept aside; where, or None when there was none.

    Args:
        fresh: no engine ever ran here, so there is nothing to keep.

    Raises:
        HomeError: an engine runs here, or another process prepares the store.
    """
    with _nobody(home):
        aside = None if fresh else _put_aside(home)
        for suffix in ("-wal", "-shm"):  # of the old one, whose newest rows are in the copy aside; what is left of it is whole
            home.store.with_name(home.store.name + suffix).unlink(missing_ok=True)
        write_atomic(home.root / "place", about.place)
        for name in SETTINGS:
            found, there = room / name, home.root / name
            if found.is_dir():
                shutil.copytree(found, there, dirs_exist_ok=True)
            elif found.exists():
                write_atomic(there, found.read_bytes())
        os.replace(room / home.store.name, home.store)
    return aside


def _put_aside(home: Home) -> Path | None:
    if not home.store.exists():
        return None
    aside = home.root / f"before-restore-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
    aside.mkdir(mode=0o700)
    with contextlib.suppress(StoreError):  # a damaged one is what a vault is for
        snapshot(home.store, aside / home.store.name)
    if home.backups.exists():  # they are of what was here before: a damage must not bring that back
        os.replace(home.backups, aside / home.backups.name)
    return aside


@contextlib.contextmanager
def _nobody(home: Home) -> Iterator[None]:
    handles = []
    try:
        for path, who in ((home.lock, "an engine runs"), (home.root / "store.lock", "another process prepares the store")):
            if (handle := try_lock(path)) is None:
                raise HomeError(f"{who} in {home.root}, so nothing was restored", "qcity engine stop --runners first, then try again")
            handles.append(handle)
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _extract(tar: tarfile.TarFile, room: Path) -> None:
    """Plain files of the names that we know, and no more than fits: a copy comes from where others may write."""
    total = 0
    for member in tar:
        path = PurePosixPath(member.name)
        known = path.parts[:1] and path.parts[0] in ("qcity.db", "about.json", *SETTINGS)
        if not known or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise ValueError(member.name)
        total += member.size
        if total > UNPACKED:
            raise ValueError("too large")
        there = room / path
        if member.isdir():
            there.mkdir(parents=True, exist_ok=True)
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        assert source is not None
        with there.open("wb") as file:
            shutil.copyfileobj(source, file)
        there.chmod(0o600)
