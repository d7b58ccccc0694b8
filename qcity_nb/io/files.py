"""Files that are whole or absent, logs with a bound, and locks that the kernel lets go of when their holders die."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o600, sync: bool = False) -> None:
    """Put `data` at `path` in one step: a reader sees the old content or the new, never a part.

    Args:
        sync: also make it survive a power cut.
    """
    raw = data.encode() if isinstance(data, str) else data
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def try_lock(path: Path) -> int | None:
    """A file descriptor that holds `path` exclusively, or None when somebody holds it. The lock ends with the last copy of the descriptor."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def is_locked(path: Path) -> bool:
    """Whether somebody holds `path`, asked without disturbing anybody."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def tail(path: Path, *, lines: int = 40, limit: int = 256 << 10) -> list[str]:
    """The last lines of a text file, read from at most its last `limit` bytes; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            raw = file.read()
    except FileNotFoundError:
        return []
    return raw.decode("utf-8", "replace").splitlines()[-lines:]


CATCHING_UP = 6
"""So often a log is read on before it is emptied: each time less was written meanwhile, and what is not read is lost."""


def bound(path: Path, *, limit: int) -> bool:
    """Keep an append-only log below `limit` bytes: past it, its newest half moves to `<name>.1` and the writer goes on in the emptied file.

    The writer keeps its descriptor, so it must have been opened for appending; what it writes meanwhile is read, too, up to the last moment.
    Returns whether something moved.
    """
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= limit:
                return False
            file.seek(size - limit // 2)
            parts = [file.read() for _ in range(CATCHING_UP)]
            file.truncate(0)
    except FileNotFoundError:
        return False
    write_atomic(path.with_name(path.name + ".1"), b"".join(parts)[-(limit // 2) :])
    return True


def walkable(path: Path) -> bool:
    """Whether any uid can walk down to `path`."""
    return all(one.stat().st_mode & 0o001 for one in (path if path.is_dir() else path.parent, *path.parents))
