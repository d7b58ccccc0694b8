"""Finds out what would change below a folder, and which files have to be left alone; each is said in one sentence. Touches nothing.

Left alone are files that git ignores or that have changes of somebody else, that nobody may write, that are no text, and links that leave the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import QCityError
from ..model.home import Home
from ..model.link import Edits, FileChange, Remark, Rewriting, Wanted, done, undone
from . import journal, worktree

LARGEST = 64 << 20
"""Bytes; a larger file is no text that a person links from."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A file as it was read: its path below the root, where it really is."""

    path: str
    real: str
    wanted: Wanted
    mode: int


Survey = tuple[tuple[FileChange, ...], tuple[Remark, ...], int]


def survey(root: str, rewriting: Rewriting, *, home: Home, dirty: bool, tracked: bool, ready: dict[str, bytes]) -> Survey:
    """What would change below a root, what was seen or refused, and how many files were read; `ready` gets the new contents by their SHA-256."""
    remarks: list[Remark] = []
    tips = journal.tips(home)
    files: list[tuple[_Found, FileChange]] = []
    seen = 0
    for one in _files(root, rewriting, remarks, own=os.path.realpath(home.root)):
        try:
            data = content(one.real)
        except OSError as error:
            remarks.append(about(one.path, f"it cannot be read ({error.strerror})"))
            continue
        if data is None:
            continue
        seen += 1
        reading = rewriting.read(one.path, data, one.wanted)
        remarks += reading.remarks
        if reading.refused:
            remarks.append(about(one.path, reading.refused))
        elif reading.edits:
            change, why = _sure(rewriting, one, data, reading, ready)
            if why:
                remarks.append(about(one.path, why))
            else:
                files.append((one, change))
    found = [(one.path, one.real, change.before) for one, change in files]
    blocked = _blocked(found, dirty=dirty, tracked=tracked, tips=tips)
    remarks += [about(path, why) for path, why in blocked.items()]
    return tuple(change for one, change in files if one.path not in blocked), tuple(remarks), seen


def _sure(rewriting: Rewriting, one: _Found, data: bytes, reading: Edits, ready: dict[str, bytes]) -> tuple[FileChange, str]:
    """The change of a file, and why it is not to be made. A second pass has to find nothing, and taking it back has to give the same bytes."""
    after = done(data, reading.edits)
    change = FileChange(path=one.path, before=digest(data), after=digest(after), edits=reading.edits)
    if not one.mode & 0o222:
        return change, "nobody may write it: it is read-only"
    if rewriting.read(one.path, after, one.wanted, seen=False).edits or done(after, undone(reading.edits)) != data:
        return change, "the change could not be proved to be right: please report it"
    ready[change.after] = after
    return change, ""


def _blocked(files: list[tuple[str, str, str]], *, dirty: bool, tracked: bool, tips: dict[str, str]) -> dict[str, str]:
    """Files that git's rules leave alone, and why. Asked once for each repository."""
    repositories: dict[str, list[tuple[str, str, str]]] = {}
    known: dict[str, str | None] = {}
    found: dict[str, str] = {}
    for path, full, sha in files:
        top = worktree.repository_of(os.path.dirname(full), known)
        if top:
            repositories.setdefault(top, []).append((path, full, sha))
        elif tracked:
            found[path] = "it is in no repository, so it cannot be committed"
    for top, some in repositories.items():
        try:
            said = worktree.states(top, [os.path.relpath(full, top) for _, full, _ in some])
        except QCityError as error:
            found |= {path: error.what for path, _, _ in some}
            continue
        for path, full, sha in some:
            state = said.get(os.path.relpath(full, top), "")
            if state == "ignored":
                found[path] = "git ignores it"
            elif state == "new" and tracked:
                found[path] = "git does not know it yet, so it cannot be committed alone"
            elif state == "changed" and not dirty and tips.get(full) != sha:
                found[path] = "it has changes that are not committed"
    return found


def _files(root: str, rewriting: Rewriting, remarks: list[Remark], *, own: str) -> Iterator[_Found]:
    """The files that are meant; never those of the home, where the journal itself has all addresses."""
    given: set[str] = set()
    walked = _walk(root, "", rewriting) if rewriting.walks else iter(())
    for named, literal in (*((one, True) for one in rewriting.literal), *((one, False) for one in walked)):
        path, wanted = named, rewriting.wants(named)
        if wanted is None or path in given or os.path.join(root, path).startswith(own + os.sep):
            continue
        given.add(path)
        full = os.path.join(root, path)
        try:
            how = os.lstat(full)
            if stat.S_ISLNK(how.st_mode) or literal:
                real = os.path.realpath(full, strict=True)
                if os.path.commonpath((real, root)) != root:
                    remarks.append(about(path, "it is a link that leaves the folder"))
                    continue
                how, full, path = os.stat(real), real, os.path.relpath(real, root)
                if path in given and path not in rewriting.literal:
                    continue
                given.add(path)
        except OSError as error:
            remarks.append(about(path, "there is no such file" if error.errno == errno.ENOENT else f"it cannot be read ({error.strerror})"))
            continue
        if not stat.S_ISREG(how.st_mode):
            remarks.append(about(path, "it is a folder: write it with /**" if stat.S_ISDIR(how.st_mode) else "it is no file"))
        elif how.st_nlink > 1:
            remarks.append(about(path, "it is a hard link: its other names would keep the old address"))
        elif how.st_size > LARGEST:
            remarks.append(about(path, f"it has more than {LARGEST >> 20} MiB"))
        else:
            yield _Found(path=path, real=full, wanted=wanted, mode=how.st_mode)


def _walk(root: str, below: str, rewriting: Rewriting) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            if rewriting.enters(path):
                yield from _walk(root, path, rewriting)
        elif rewriting.wants(path) and (entry.is_file() or entry.is_symlink()) and not (entry.is_symlink() and entry.is_dir()):
            yield path


def content(path: str) -> bytes | None:
    """A file's bytes; None when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def about(path: str, why: str) -> Remark:
    """A remark on a file as a whole."""
    return Remark(path=path, line=0, text="", why=why)


