"""Changes addresses in people's files, all of a change planned and written down before the first file is touched.

Each file is replaced in one step, after a last look at whether it is still the one that was read; a change that was cut off is finished by whoever
comes next. What is to be replaced is decided elsewhere (`decide.links`), which files are left alone is found out by `io.survey`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import msgspec

from ..errors import BadInput, QCityError, Refused
from ..model.home import Home
from ..model.link import Change, FileChange, Remark, Report, Rewriting, done, undone
from ..model.tunnel import Binding
from . import branches, journal, worktree
from .survey import about, content, digest, survey

WORKERS = 8
"""Files that are made safe at once where that takes the disk's time."""


def sync(
    home: Home,
    binding: Binding,
    rewriting: Rewriting,
    *,
    tunnel: str,
    new: str,
    why: str,
    actor: str,
    dirty: bool = False,
    durable: bool = True,
    base: str = "",
) -> Report:
    """Make the addresses in a binding's files right, and record it.

    Args:
        rewriting: what decides: `decide.links.Rewriter(aim=decide.links.aim(issued, tunnel=…, new=…), patterns=binding.patterns)`.
        dirty: also files with changes that were not committed.
        durable: files are on the disk before they are replaced, so that a power cut leaves none empty.
        base: the commit that a proposal stands on; who pushes and proposes is `kinds.forges.proposing`.

    Raises:
        BadInput: the root is no folder, or `commit` means nothing.
        Refused: another change is under way.
    """
    began = time.monotonic()
    root = root_of(binding)
    commit = branches.resolved(binding.commit, tunnel, root)
    with journal.locked(home):
        recover(home, locked=True)
        number = (journal.numbers(home) or [0])[-1] + 1
        change = Change(
            number=number, at=datetime.now(timezone.utc), tunnel=tunnel, new=new, why=why, actor=actor, root=root, files=(),
            commit=commit, dirty=dirty,
        )  # fmt: skip
        if ":" in commit:
            report = branches.change(home, change, rewriting, durable=durable, base=base)
        else:
            ready: dict[str, bytes] = {}
            files, remarks, seen = survey(root, rewriting, home=home, dirty=dirty, tracked=bool(binding.commit), ready=ready)
            change = msgspec.structs.replace(change, files=files)
            report = Report(files=files, remarks=remarks, seen=seen)
            if files:
                change, refused = _carry_out(home, change, durable=durable, ready=ready)
                report = Report(files=change.files, remarks=(*remarks, *refused), number=number if change.files else 0, sha=change.sha, seen=seen)
    return msgspec.structs.replace(report, took=time.monotonic() - began)


def check(home: Home, binding: Binding, rewriting: Rewriting, *, dirty: bool = False) -> Report:
    """What a sync would do. Nothing is touched."""
    began = time.monotonic()
    root = root_of(binding)
    commit = branches.resolved(binding.commit, rewriting.tunnel, root)
    if ":" in commit:
        report = branches.look(home, root, commit, rewriting)
    else:
        files, remarks, seen = survey(root, rewriting, home=home, dirty=dirty, tracked=bool(binding.commit), ready={})
        report = Report(files=files, remarks=remarks, seen=seen)
    return msgspec.structs.replace(report, took=time.monotonic() - began)


def recover(home: Home, *, locked: bool = False) -> list[int]:
    """Finish the changes that were cut off, and take their temporary files away; the numbers of them.

    A file that somebody changed meanwhile is left to them.
    """
    if not locked:
        with journal.locked(home):
            return recover(home, locked=True)
    found = journal.planned(home)
    for change in found:
        if ":" in change.commit:
            branches.finish(home, change)
            continue
        for position, one in enumerate(change.files):
            with contextlib.suppress(OSError):
                os.unlink(_temporary(os.path.join(change.root, one.path), change.number, position))
        _carry_out(home, change, durable=False, again=True)
    return [change.number for change in found]


def rollback(home: Home, number: int, *, actor: str, durable: bool = True) -> Report:
    """Take a change back: every file is again what it was, to the byte. Recorded as a change of its own.

    Raises:
        NotFound: there is no such change.
        Refused: it was rolled back already, or a file has changed since; then nothing was touched.
    """
    began = time.monotonic()
    with journal.locked(home):
        recover(home, locked=True)
        change = journal.get(home, number)
        if change.state != "committed" or change.undoes:
            what = change.state if change.state != "committed" else f"the rollback of change {change.undoes}"
            raise Refused(f"change {number} is {what}", "Nothing was touched")
        if ":" in change.commit:
            return branches.take_back(home, change)
        back = []
        for one in change.files:
            data = content(os.path.join(change.root, one.path))
            if data is None or digest(data) != one.after:
                raise Refused(f"{one.path} has changed since change {number}", "Nothing was touched; what was replaced is in qcity links log --json")
            back.append(FileChange(path=one.path, before=one.after, after=one.before, edits=undone(one.edits)))
        newest = journal.numbers(home)[-1] + 1
        undo = msgspec.structs.replace(
            change, number=newest, at=datetime.now(timezone.utc), why=f"rollback of change {number}", actor=actor, files=tuple(back), state="planned",
            sha="", undoes=number,
        )  # fmt: skip
        made, refused = _carry_out(home, undo, durable=durable)
    return Report(files=made.files, remarks=refused, number=newest, sha=made.sha, took=time.monotonic() - began)


def _carry_out(
    home: Home, change: Change, *, durable: bool, again: bool = False, ready: Mapping[str, bytes] | None = None
) -> tuple[Change, tuple[Remark, ...]]:
    """Plan, replace, commit, write down: safe to repeat from any point."""
    if not again:
        journal.put(home, change, durable=durable)
    made: list[FileChange] = []
    refused: list[Remark] = []
    for one, why in zip(change.files, _replaced(change, ready or {}, durable=durable), strict=True):
        if why:
            refused.append(about(one.path, why))
        else:
            made.append(one)
    change = msgspec.structs.replace(change, files=tuple(made))
    if change.commit and made:
        try:
            change = msgspec.structs.replace(change, sha=_commit(change))
        except QCityError as error:
            refused.append(about(made[0].path, f"it was replaced, and not committed: {error.what}"))
    _remember(home, change)
    journal.put(home, msgspec.structs.replace(change, state="committed" if made else "rolled back"), durable=durable)
    if change.undoes and made:
        journal.put(home, msgspec.structs.replace(journal.get(home, change.undoes), state="rolled back"), durable=durable)
    journal.prune(home)
    return change, tuple(refused)


def _replaced(change: Change, ready: Mapping[str, bytes], *, durable: bool) -> list[str]:
    """Replace all files; for each why not, or nothing. Many at once: the disk makes several files safe in the time of one."""

    def replace(numbered: tuple[int, FileChange]) -> str:
        position, one = numbered
        path = os.path.join(change.root, one.path)
        return _replace(path, one, ready.get(one.after), temporary=_temporary(path, change.number, position), durable=durable)

    if not durable or len(change.files) < WORKERS:
        said = [replace(one) for one in enumerate(change.files)]
    else:
        with ThreadPoolExecutor(WORKERS) as workers:
            said = list(workers.map(replace, enumerate(change.files)))
    for folder in {os.path.dirname(os.path.join(change.root, one.path)) for one in change.files} if durable else ():
        with contextlib.suppress(OSError):
            _sync_folder(folder)
    return said


def _replace(path: str, one: FileChange, new: bytes | None, *, temporary: str, durable: bool) -> str:
    """Put the new content (None: made of the edits) in the old one's place; why not, or nothing."""
    try:
        if new is None:
            data = content(path)
            if data is not None and digest(data) == one.after:
                return ""  # done before we were cut off
            if data is None or digest(data) != one.before:
                return "it was changed meanwhile"
            new = done(data, one.edits)
        _write(temporary, new, os.stat(path), durable=durable)
        last = content(path)
        if last is None or digest(last) != one.before:
            return "it was changed meanwhile"
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        return f"it cannot be replaced ({error.strerror})"
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return ""


def _write(path: str, data: bytes, like: os.stat_result, *, durable: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
        if durable:
            os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _commit(change: Change) -> str:
    known: dict[str, str | None] = {}
    tops: dict[str, list[str]] = {}
    for one in change.files:
        full = os.path.join(change.root, one.path)
        if top := worktree.repository_of(os.path.dirname(full), known):
            tops.setdefault(top, []).append(os.path.relpath(full, top))
    return " ".join(worktree.commit(top, paths, branches.message(change)) for top, paths in tops.items())


def _remember(home: Home, change: Change) -> None:
    """What is ours in the working tree; a file in which others had changes too is not."""
    found = journal.tips(home)
    for one in change.files:
        full = os.path.join(change.root, one.path)
        if change.dirty and found.get(full) != one.before:
            found.pop(full, None)
        else:
            found[full] = one.after
    journal.put_tips(home, found)


def root_of(binding: Binding) -> str:
    """The real folder of a binding. Raises `BadInput` when it is none, or when the binding's `commit` means nothing."""
    root = os.path.realpath(binding.root)
    if not os.path.isdir(root):
        raise BadInput(f"{binding.root} is no folder", "Bind files below a folder that is there")
    how, _, branch = binding.commit.partition(":")
    if binding.commit not in ("", "commit", "pull") and not (how in ("branch", "pull") and branch.strip()):
        raise BadInput(f'"{binding.commit}" is no way to commit', "Leave it empty, or write commit, branch:NAME, pull or pull:BRANCH")
    return root


def _temporary(path: str, number: int, position: int) -> str:
    return os.path.join(os.path.dirname(path), f".qcity-{number}-{position}.tmp")
