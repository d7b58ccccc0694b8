"""One branch of a git remote, read and pushed from a bare repository of our own below the home, so that no work tree is ever touched."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ..decide.redact import redact
from ..decide.wording import line
from ..errors import BadInput, MissingTool, PlatformError

TIMEOUT = 60.0
PASSWORD = re.compile(r"^[a-z+]+://[^/@]*:[^/@]*@")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")
MOVED = re.compile(r"fetch first|non-fast-forward|stale info|cannot lock ref|incorrect old value|failed to update ref|already exists")
KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO")


def known(target: str, branch: str, *, what: str) -> None:
    """See to it that they can be a remote and a branch of it.

    Raises:
        BadInput: they cannot, or a password stands in the address.
    """
    if not target or target.startswith("-"):
        raise BadInput(f"a {what} in git needs a remote", "Give its address, as git takes it")
    if ":" not in target and not Path(target).is_absolute():
        raise BadInput(f'"{target}" is no address of a repository', "Give the whole path, or an address as git takes it")
    if PASSWORD.match(target):
        raise BadInput(f"the address of the {what}'s repository holds a password", "Leave it out: git's credential helper, or a key, knows it")
    if not REF.fullmatch(branch) or ".." in branch or branch.endswith(("/", ".", ".lock")):
        raise BadInput(f'"{branch}" cannot be a branch', "Give its name, as gh-pages")


class Branch:
    """One branch of one remote.

    Args:
        scratch: where the repository of our own is.
        what: is kept there, for sentences: "the page".
        env: more of git's environment, for what must not stand in a command line.
    """

    def __init__(self, url: str, branch: str, scratch: Path, *, what: str, env: Mapping[str, str] | None = None) -> None:
        self._url, self._ref, self._scratch, self._what, self._env = url, f"refs/heads/{branch}", scratch, what, dict(env or {})
        self.shown = re.sub(r"://[^/@]*@", "://", url)

    def fetch(self) -> str:
        """The commit that the branch is at; empty when there is no such branch."""
        if not (self._scratch / "HEAD").exists():
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._must("init", "--quiet", "--bare", ".")
        said = self._must("ls-remote", "--quiet", self._url, self._ref).decode()
        head = said.split()[0] if said.strip() else ""
        if head and self._git("cat-file", "-e", head)[0]:
            self._must("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head", self._url, f"+{self._ref}:refs/seen")
            head = self._must("rev-parse", "refs/seen").decode().strip()  # it may have moved between the two
        return head

    def file(self, head: str, name: str) -> bytes | None:
        """A file of a commit."""
        if not head:
            return None
        code, out, _ = self._git("cat-file", "blob", f"{head}:{name}")
        return None if code else out

    def files(self, head: str) -> dict[str, str]:
        """The files at the top of a commit, name -> the id of their content."""
        if not head:
            return {}
        lines = self._must("ls-tree", head).decode().splitlines()
        return {name: entry.split()[2] for entry, _, name in (line.partition("\t") for line in lines) if entry.split()[1] == "blob"}

    def commit(self, files: Mapping[str, bytes], *, words: str, parent: str = "", kept: Mapping[str, str] | None = None) -> str:
        """A commit with these files: on top of another one, or without a parent and then with those of `kept` (name -> id) beside them."""
        said = f"{words}\n".encode()
        lines = [b"commit refs/made", b"mark :1", b"committer qcity <qcity@localhost> %d +0000" % int(time.time())]
        lines += [b"data %d" % len(said), said.rstrip(b"\n")]
        lines += [b"from %s" % parent.encode()] if parent else []
        lines += [f"M 100644 {id_} {name}".encode() for name, id_ in (kept or {}).items()]
        for name, data in files.items():
            lines += [b"M 100644 inline %s" % name.encode(), b"data %d" % len(data), data]
        self._git("update-ref", "-d", "refs/made")
        return self._must("fast-import", "--quiet", "--force", given=b"\n".join([*lines, b"get-mark :1", b"done", b""])).decode().strip()

    def push(self, commit: str, *, over: str | None = None) -> bool:
        """Whether the branch took it; False when it has moved meanwhile.

        Args:
            over: the commit that it replaces, whatever history that had (empty: there is no branch yet); None only moves on.
        """
        lease = [] if over is None else [f"--force-with-lease={self._ref}:{over}"]
        code, out, err = self._git("push", "--porcelain", "--no-verify", *lease, self._url, f"{commit}:{self._ref}")
        if code and not MOVED.search(said := (out + err).decode("utf-8", "replace")):
            raise self._failed(said)
        return code == 0

    def _must(self, *args: str, given: bytes | None = None) -> bytes:
        code, out, err = self._git(*args, given=given)
        if code:
            raise self._failed(err.decode("utf-8", "replace"))
        return out

    def _git(self, *args: str, given: bytes | None = None) -> tuple[int, bytes, bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in KEPT}
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_DIR": str(self._scratch), **self._env}
        env.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
        try:
            options = ("-c", "gc.auto=0", "-c", "core.hooksPath=/dev/null")
            command = ["git", *options, *args]
            done = subprocess.run(command, cwd=self._scratch, env=env, input=given, capture_output=True, timeout=TIMEOUT, check=False)
        except FileNotFoundError:
            raise MissingTool("git is not installed", "apt-get install git") from None
        except subprocess.TimeoutExpired:
            raise PlatformError(f"{self.shown} has not answered within {TIMEOUT:.0f} s", "It is tried again", kind="unreachable") from None
        return done.returncode, done.stdout, done.stderr

    def _failed(self, said: str) -> PlatformError:
        lines = [one.strip() for one in said.splitlines() if one.strip() and not one.startswith(("hint:", "remote: ", "To "))]
        fatal = [one for one in lines if one.startswith(("fatal:", "error:", "!"))]
        why = line(redact((fatal or lines or ["git said nothing"])[0]), limit=160)
        what = f"{self._what} cannot be pushed to {self.shown} ({why})"
        return PlatformError(what, "Check the address and who may push there; git ls-remote shows more", kind="unreachable")
