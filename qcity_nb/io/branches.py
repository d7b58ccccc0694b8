"""A change of links as a commit on a branch of its own: the work tree, the index and HEAD stay as they are.

The commit of a proposal stands on what the remote's own branch says, alone, and is kept below `refs/qcity`: no branch of people's is in its way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator

import msgspec

from ..errors import BadInput, QCityError, Refused
from ..model.home import Home
from ..model.link import Change, FileChange, Remark, Report, Rewriting, done
from . import journal, worktree
from .worktree import Blob

OURS = "Made-by: qcity links"
"""A line by which a commit of a proposal is known to be ours, whoever pushed it."""


def resolved(commit: str, tunnel: str, root: str) -> str:
    """A binding's `commit` with the branch's name in it: `pull` is `pull:qcity/links-TUNNEL`, and below the repository's top `…-TUNNEL-FOLDER`."""
    if commit != "pull":
        return commit
    below = os.path.relpath(root, worktree.repository_of(root, {}) or root)
    return "pull:qcity/links-" + "-".join([tunnel, *re.findall(r"[A-Za-z0-9]+", below)])


def ref_of(commit: str) -> str:
    """Where the commits of a way to commit go: `branch:NAME` or `pull:NAME`."""
    how, _, branch = commit.partition(":")
    return f"refs/heads/{branch}" if how == "branch" else f"refs/qcity/links/{branch}"


def base_ref(branch: str) -> str:
    """Where what a proposal stands on is kept: the remote's own branch as it was seen last."""
    return f"refs/qcity/base/{branch}"


def message(change: Change) -> str:
    """What a commit of ours says."""
    of = f" of {change.tunnel}" if change.tunnel else ""
    first = f"Take change {change.undoes} of links back" if change.undoes else f"Links{of}: {change.new}"
    last = f"\n{OURS}\n" if change.commit.startswith("pull:") else ""
    return f"{first}\n\n{change.links} links in {len(change.files)} files. {change.why or 'Asked by hand'} ({change.actor}).\n{last}"


def look(home: Home, root: str, commit: str, rewriting: Rewriting) -> Report:
    """What a change on a branch would be, without a look at the remote. Raises as `change`."""
    top, (how, _, branch) = _top(root), commit.partition(":")
    worktree.check_branch(top, branch)
    base = (worktree.head(top, base_ref(branch)) or worktree.head(top)) if how == "pull" else worktree.base_of(top, branch)
    files, blobs, remarks, seen = _survey(root, top, base, rewriting)
    if how == "pull" and files and (there := _carried(home, top, ref_of(commit), base, blobs)):
        return _as_it_is(there, remarks, seen)
    return Report(files=files, remarks=remarks, seen=seen)


def change(home: Home, planned: Change, rewriting: Rewriting, *, durable: bool, base: str = "") -> Report:
    """Put a change on its branch and write it down.

    Args:
        base: what the commit of a proposal stands on; one that carries the same already stays.

    Raises:
        BadInput: there is no repository, or the branch's name is none.
        Refused: the branch is checked out, or git refused.
    """
    ref, top, anew = ref_of(planned.commit), _top(planned.root), bool(base)
    base = base or worktree.base_of(top, planned.commit.partition(":")[2])
    files, blobs, remarks, seen = _survey(planned.root, top, base, rewriting)
    if not files:
        return Report(files=(), remarks=remarks, seen=seen)
    if anew and (there := _carried(home, top, ref, base, blobs)):
        return _as_it_is(there, remarks, seen)
    planned = msgspec.structs.replace(planned, files=files)
    journal.put(home, planned, durable=durable)
    try:
        sha = worktree.put(top, ref, base, blobs, message(planned), anew=anew)
    except Refused:
        journal.put(home, msgspec.structs.replace(planned, state="rolled back"), durable=durable)
        raise
    journal.put(home, msgspec.structs.replace(planned, sha=sha, state="committed"), durable=durable)
    journal.prune(home)
    return Report(files=files, remarks=remarks, number=planned.number, sha=sha, seen=seen)


def _as_it_is(there: Change, remarks: tuple[Remark, ...], seen: int) -> Report:
    return Report(files=(), remarks=remarks, number=there.number, sha=there.sha, seen=seen, proposal=there.proposal)


def _carried(home: Home, top: str, ref: str, base: str, blobs: dict[str, Blob]) -> Change | None:
    """The change that a ref carries, when it is the one that is wanted: the same files with the same contents, on something that the base has."""
    tip = worktree.head(top, ref)
    made = journal.of_commit(home, tip) if tip else None
    parent = worktree.head(top, f"{tip}~1") if made else ""
    if made is None or not parent or worktree.git(top, "merge-base", parent, base).decode().strip() != parent:
        return None
    touched = worktree.git(top, "diff", "--name-only", "-z", parent, tip).decode("utf-8", "surrogateescape").split("\0")[:-1]
    if set(touched) != set(blobs):
        return None
    tree = worktree.tree(top, tip)
    same = worktree.blobs(top, [tree[path][1] for path in blobs]) == [blob.data for blob in blobs.values()]
    return made if same else None


def finish(home: Home, planned: Change) -> None:
    """A change that was cut off: git has all of it or nothing; the next sync makes it again where it has nothing."""
    tip, there = "", False
    with contextlib.suppress(QCityError):  # no repository any more: nothing of it can be there
        top = _top(planned.root)
        tip = worktree.head(top, ref_of(planned.commit))
        there = bool(tip) and worktree.git(top, "log", "-1", "--format=%B", tip).decode().strip() == message(planned).strip()
    journal.put(home, msgspec.structs.replace(planned, sha=tip if there else "", state="committed" if there else "rolled back"), durable=False)


def take_back(home: Home, made: Change) -> Report:
    """Set the branch back to where it was; one of a proposal goes. Raises `Refused` when it has gone on since."""
    top, ref = on_tip(made)
    worktree.move(top, ref, "" if made.commit.startswith("pull:") else worktree.head(top, f"{made.sha}~1"), expected=made.sha)
    journal.put(home, msgspec.structs.replace(made, state="rolled back"), durable=False)
    return Report(files=made.files, remarks=(), number=made.number)


def on_tip(made: Change) -> tuple[str, str]:
    """The repository and the ref of a change that is its last one. Raises `Refused` when it is not."""
    top, ref = _top(made.root), ref_of(made.commit)
    if worktree.head(top, ref) != made.sha:
        branch = made.commit.partition(":")[2]
        raise Refused(f"the branch {branch} has gone on since change {made.number}", "Nothing was touched; revert its commit by hand")
    return top, ref


def _top(root: str) -> str:
    if top := worktree.repository_of(root, {}):
        return top
    raise BadInput(f"{root} is in no git repository", "Leave the branch out, or make one with git init")


def _survey(root: str, top: str, base: str, rewriting: Rewriting) -> tuple[tuple[FileChange, ...], dict[str, Blob], tuple[Remark, ...], int]:
    """What would change below the root in a commit, and the contents that it would have by their paths from the top."""
    below = os.path.relpath(root, top)
    prefix = "" if below == "." else f"{below}/"
    meant = list(_meant(worktree.tree(top, base), prefix, rewriting))
    files: list[FileChange] = []
    blobs: dict[str, Blob] = {}
    remarks: list[Remark] = []
    for (path, mode), data in zip([one[:2] for one in meant], worktree.blobs(top, [one[2] for one in meant]), strict=True):
        wanted = rewriting.wants(path)
        assert wanted
        reading = rewriting.read(path, data, wanted)
        remarks += reading.remarks
        if reading.refused:
            remarks.append(Remark(path=path, line=0, text="", why=reading.refused))
        elif reading.edits:
            new = done(data, reading.edits)
            digests = [hashlib.sha256(one).hexdigest() for one in (data, new)]
            files.append(FileChange(path=path, before=digests[0], after=digests[1], edits=reading.edits))
            blobs[prefix + path] = Blob(mode=mode, data=new)
    return tuple(files), blobs, tuple(remarks), len(meant)


def _meant(tree: dict[str, tuple[str, str]], prefix: str, rewriting: Rewriting) -> Iterator[tuple[str, str, str]]:
    for path, (mode, id_) in tree.items():
        if path.startswith(prefix) and mode in ("100644", "100755") and rewriting.wants(path[len(prefix) :]):
            yield path[len(prefix) :], mode, id_
