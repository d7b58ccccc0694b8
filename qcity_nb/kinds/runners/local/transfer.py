"""Moving what a job leaves (artifacts, caches) out of its work folder, without trusting a single name or link in it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ....model.work import Artifact
from .prepare import OWN

MOST_ENTRIES = 200_000


def take_artifacts(folder: Path, into: Path, *, home: Path) -> tuple[list[Artifact], list[str]]:
    """Move the artifacts of an ended job to `into` (the build's folder) and describe them, with a sentence for each that could not be moved."""
    taken: list[Artifact] = []
    problems: list[str] = []
    for source in _folders(folder / OWN / "artifacts"):
        target = into / source.name
        try:
            size, files = _tame(source)
            into.mkdir(parents=True, exist_ok=True)
            _replace(source, target)
        except OSError as error:
            problems.append(f'artifact "{source.name}" could not be kept: {error.strerror or error}')
            continue
        taken.append(Artifact(name=source.name, path=str(target.relative_to(home)), size=size, files=files))
    return taken, problems


def take_caches(folder: Path, into: Path) -> list[str]:
    """Move the caches of an ended job to `into`; a key that is there already is kept, as GitHub does. Returns sentences for what failed."""
    problems: list[str] = []
    for source in _folders(folder / OWN / "cache"):
        target = into / source.name
        if target.exists():
            continue
        try:
            _tame(source, links=True)
            into.mkdir(parents=True, exist_ok=True)
            _replace(source, target)
        except OSError as error:
            problems.append(f'cache "{source.name}" could not be kept: {error.strerror or error}')
    return problems


def _folders(above: Path) -> Iterator[Path]:
    """The real folders in a folder that a job could write."""
    if above.is_symlink() or above.parent.is_symlink() or not above.is_dir():
        return
    for one in sorted(above.iterdir()):
        if one.is_dir() and not one.is_symlink() and not one.name.startswith("."):
            yield one


def _tame(root: Path, *, links: bool = False) -> tuple[int, int]:
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


def _replace(source: Path, target: Path) -> None:
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
