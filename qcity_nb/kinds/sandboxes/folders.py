"""Folders that something shut in works in: what it may see, whose they are, taking out what it leaves and trusting no name or link in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from .uids import FIRST, LAST

MOST_ENTRIES = 200_000
PREFIX = "qk-"  # short: a socket's path may have 107 bytes
LONGEST = 80
UIDS = range(FIRST, LAST + 1)
YOUNG = 60.0
"""Seconds in which a folder may have been made and not be held yet."""


def outermost(paths: list[Path]) -> tuple[Path, ...]:
    """The paths without those that lie inside of another one."""
    kept: list[Path] = []
    for path in sorted({one for one in paths if one.exists()}, key=lambda one: len(one.parts)):
        if not any(path.is_relative_to(one) for one in kept):
            kept.append(path)
    return tuple(kept)


def give(folder: Path, uid: int) -> None:
    """Make a whole tree belong to `uid`; links are changed themselves, never what they point to."""
    os.chown(folder, uid, uid, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place, name), uid, uid, follow_symlinks=False)


def remove(folder: Path) -> None:
    """Remove a work folder, read-only parts included."""

    def open_up(_call: object, name: str, _error: object) -> None:
        path = Path(name)
        with contextlib.suppress(OSError):
            path.parent.chmod(0o700)
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()

    if folder.exists():
        shutil.rmtree(folder, onerror=open_up)


def roomy() -> Path:
    """The folder for temporary ones: the usual one, unless the path of a socket in a folder of it would be too long."""
    usual = Path(tempfile.gettempdir())
    others = [Path(one) for one in ("/tmp", "/var/tmp") if os.access(one, os.W_OK | os.X_OK)]  # noqa: S108 - for private folders
    return next((one for one in (usual, *others) if len(os.fsencode(one)) <= LONGEST), usual)


def fresh(where: Path) -> tuple[Path, int]:
    """A private folder, and what holds it: it is somebody's for as long as that is open. `swept` removes the ones that are nobody's."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, handle


def swept(where: Path) -> None:
    """Remove what processes that are gone left of such folders: ours, and those that were given to uids of ours."""
    for folder in where.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                seen = os.fstat(handle)
                mine = seen.st_uid == os.geteuid() or (os.geteuid() == 0 and seen.st_uid in UIDS)
                if mine and time.time() - seen.st_mtime > YOUNG:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(folder)
            finally:
                os.close(handle)


def tame(root: Path, *, links: bool = False) -> tuple[int, int]:
    """Take over a tree: ours to own, plain files and folders only, no special bits. Returns its size and the number of files.

    Nobody works in the tree any more, so nothing can change between the look and the act.
    """
    size = files = 0
    uid, gid = os.geteuid(), os.getegid()
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(place, name)
            seen = os.lstat(path)
            if stat.S_ISLNK(seen.st_mode) and links:
                os.chown(path, uid, gid, follow_symlinks=False)
            elif not (stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode)):
                os.unlink(path)
            else:
                os.chown(path, uid, gid, follow_symlinks=False)
                os.chmod(path, 0o755 if stat.S_ISDIR(seen.st_mode) or seen.st_mode & 0o100 else 0o644)
                if stat.S_ISREG(seen.st_mode):
                    size, files = size + seen.st_size, files + 1
            if files > MOST_ENTRIES:
                raise OSError(7, f"it has more than {MOST_ENTRIES} files")
    os.chown(root, uid, gid)
    root.chmod(0o755)
    return size, files


def replace(source: Path, target: Path) -> None:
    """Put a folder in place of another one: at no moment is there a half of it."""
    incoming = target.with_name(f".{target.name}.new")
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.move(str(source), incoming)
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        incoming.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        incoming.rename(target)
