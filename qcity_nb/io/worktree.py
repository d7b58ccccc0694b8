"""What git says of files that are to be rewritten, and commits of just those files. Few calls, no hooks, no signing: nobody is there to answer.

It never touches what is staged, and reaches no other machine: `io.remotes` does.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import BadInput, MissingTool, Refused

SECONDS = 30.0
_SETTINGS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "commit.gpgsign=false", "-c", "core.quotePath=false")
NOBODY = ("qcity", "qcity@localhost")
"""Who commits where nobody said who they are."""


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A file of a commit: its mode as git writes it, its content."""

    mode: str
    data: bytes


def repository_of(folder: str, known: dict[str, str | None]) -> str | None:
    """The top of the work tree that a folder is in; None outside of any. `known` remembers."""
    if folder in known:
        return known[folder]
    above = os.path.dirname(folder)
    found = folder if os.path.exists(os.path.join(folder, ".git")) else None if above == folder else repository_of(above, known)
    known[folder] = found
    return found


def states(top: str, paths: Sequence[str]) -> dict[str, str]:
    """Of files of a work tree (relative to its top) those that are `ignored`, `new` to git, or `changed` and not committed; the others are clean.

    Raises:
        Refused: git could not tell.
    """
    found: dict[str, str] = {}
    for first in range(0, len(paths), 500):
        some = paths[first : first + 500]
        said = git(top, "status", "--porcelain=v1", "-z", "--ignored=matching", "--untracked-files=all", "--no-renames", "--", *some)
        folders = []
        for entry in said.decode("utf-8", "surrogateescape").split("\0"):
            kind = {"!!": "ignored", "??": "new"}.get(entry[:2], "changed")
            if entry[3:].endswith("/"):
                folders.append((entry[3:], kind))
            elif entry:
                found[entry[3:]] = kind
        found |= {path: kind for folder, kind in folders for path in some if path.startswith(folder)}
    return found


def commit(top: str, paths: Sequence[str], message: str) -> str:
    """Commit these files as they lie there, and nothing else that is staged; the new commit, or the present one where they are in it already.

    Raises:
        Refused: git would not.
    """
    if states(top, paths):
        git(top, "commit", "--quiet", "--no-verify", "--only", "--file=-", "--", *paths, data=message.encode(), identity=True)
    return head(top)


def head(top: str, ref: str = "HEAD") -> str:
    """The commit of a ref; empty when there is none."""
    try:
        return git(top, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()
    except Refused:
        return ""


def check_branch(top: str, branch: str) -> None:
    """Raises `BadInput` when git takes no branch of such a name."""
    try:
        git(top, "check-ref-format", "--branch", branch)
    except Refused:
        raise BadInput(f'"{branch}" cannot be the name of a branch', "Take letters, digits, - and /") from None


def base_of(top: str, branch: str) -> str:
    """What a commit on a branch stands on: the branch, or HEAD where there is none or HEAD has all of it.

    Raises:
        BadInput: git takes no such name.
        Refused: the branch is checked out, or nothing was ever committed.
    """
    check_branch(top, branch)
    if re.search(rf"^branch refs/heads/{re.escape(branch)}$", git(top, "worktree", "list", "--porcelain").decode(), re.MULTILINE):
        raise Refused(f"the branch {branch} is checked out", "Take another branch, or commit in the working tree", permanent=False)
    now, tip = head(top), head(top, f"refs/heads/{branch}")
    if not now and not tip:
        raise Refused(f"nothing was committed in {top} yet", "Commit once, then try again", permanent=False)
    if tip and now and git(top, "merge-base", now, tip).decode().strip() != tip:
        return tip
    return now or tip


def tree(top: str, revision: str) -> dict[str, tuple[str, str]]:
    """The files of a commit: path -> mode and id."""
    found = {}
    for entry in git(top, "ls-tree", "-r", "-z", "--full-tree", revision).decode("utf-8", "surrogateescape").split("\0"):
        if entry:
            words, _, path = entry.partition("\t")
            mode, _, id_ = words.split()
            found[path] = (mode, id_)
    return found


def blobs(top: str, ids: Iterable[str]) -> list[bytes]:
    """The contents of these, in their order."""
    asked = list(ids)
    said = git(top, "cat-file", "--batch", data="".join(f"{one}\n" for one in asked).encode())
    found, at = [], 0
    for _ in asked:
        end = said.index(b"\n", at)
        size = int(said[at:end].split()[2])
        found.append(said[end + 1 : end + 1 + size])
        at = end + size + 2
    return found


def put(top: str, ref: str, base: str, files: Mapping[str, Blob], message: str, *, anew: bool = False) -> str:
    """Put a commit with these files on a ref, all or nothing, without the work tree; the new commit.

    Args:
        anew: whatever the ref was before is given up.

    Raises:
        Refused: git would not, for one because the branch has gone on meanwhile.
    """
    name, mail, when = re.fullmatch(r"(.*) <(.*)> (\d+ [+-]\d{4})", _identity(top)).groups()  # type: ignore[union-attr]
    words = message.encode()
    parts = [f"commit {ref}\ncommitter {name} <{mail}> {when}\ndata {len(words)}\n".encode(), words, f"\nfrom {base}\n".encode()]
    for path, blob in files.items():
        quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        parts += (f"M {blob.mode} inline {quoted}\ndata {len(blob.data)}\n".encode("utf-8", "surrogateescape"), blob.data, b"\n")
    git(top, "fast-import", "--quiet", *(["--force"] if anew else []), data=b"".join((*parts, b"done\n")))
    return head(top, ref)


def move(top: str, ref: str, to: str, *, expected: str) -> None:
    """Set a ref back (nowhere: take it away), where it still is what it is expected to be. Raises `Refused` otherwise."""
    git(top, "update-ref", *([ref, to] if to else ["-d", ref]), expected)


def _identity(top: str) -> str:
    try:
        return git(top, "var", "GIT_COMMITTER_IDENT", strict=True).decode().strip()
    except Refused:
        return git(top, "var", "GIT_COMMITTER_IDENT", identity=True).decode().strip()


def git(top: str, *words: str, data: bytes = b"", identity: bool = False, strict: bool = False) -> bytes:
    """What git prints. `identity`: somebody commits even where nobody is known; `strict`: nobody is guessed.

    Raises:
        MissingTool: there is no git.
        Refused: it failed, in its own words.
    """
    kept = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG")
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(kept)}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    who: tuple[str, ...] = ("-c", "user.useConfigOnly=true") if strict else ()
    if identity:
        for part, value in zip(("NAME", "EMAIL"), NOBODY, strict=True):
            if not _configured(top, part.lower()):
                env = {f"GIT_AUTHOR_{part}": value, f"GIT_COMMITTER_{part}": value} | env
    try:
        ended = subprocess.run(["git", "-C", top, *_SETTINGS, *who, *words], input=data, capture_output=True, timeout=SECONDS, check=False, env=env)
    except FileNotFoundError:
        raise MissingTool("git is not installed", "Install git, or bind files outside of repositories") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"git {words[0]} in {top} has not ended in {SECONDS:.0f} s", "Look for what holds it up there", permanent=False) from None
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {ended.returncode}"]
        raise Refused(f"git {words[0]} in {top} failed: {said[0]}", "Nothing of it was changed", permanent=False)
    return ended.stdout


def _configured(top: str, what: str) -> bool:
    try:
        return bool(git(top, "config", "--get", f"user.{what}").strip())
    except Refused:
        return False
