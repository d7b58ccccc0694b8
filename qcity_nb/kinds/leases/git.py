"""A lease as a git ref, on any git host or in a bare repository: `refs/qcity/lease/CLAIM` points at a commit whose file is the record.

It is pushed with `--force-with-lease=REF:EXPECTED`, which every server does as a compare-and-swap of that ref. Each record is a commit without a
parent, so history does not grow. Everything happens in a bare repository of its own below the home: no work tree is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from ...errors import BadInput, LeaseError, MissingTool
from ...model.fleet import Holding, Stored
from ...model.home import Home
from . import from_text, to_text

FILE = "lease.json"
KEPT = 400
"""Records that are made before the repository of our own is begun anew."""
GONE = re.compile(r"couldn't find remote ref|no matching remote head")
LOST = re.compile(r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref|incorrect old value|already exists")
KEPT_NAMES = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
PASSWORD = re.compile(r"^[a-z+]+://[^/@]*:[^/@]*@")
GRACE_SECONDS = 0.5


class GitLease:
    """One claim's ref on one remote.

    Args:
        url: the remote, as git takes it.
        claim: what the ref is called.
        scratch: a folder for a bare repository of our own.
        timeout: seconds that one call may take.
    """

    def __init__(self, url: str, claim: str, *, scratch: Path, timeout: float) -> None:
        self._url, self._ref = url, f"refs/qcity/lease/{claim}"
        self._claim, self._scratch, self._timeout = claim, scratch, timeout
        self._known: Stored | None = None
        self._made = 0

    def read(self) -> Stored | None:
        """What the ref points at now. One look tells whether it moved; only then its commit is fetched, and the commit that came is what counts."""
        self._prepare()
        end = time.monotonic() + self._timeout
        code, out, err = self._git("ls-remote", "--quiet", self._url, self._ref, end=end)
        if code:
            raise self._unreachable(err)
        sha = out.split()[0] if out.strip() else ""
        if not sha:
            self._known = None
            return None
        if self._known is not None and self._known.version == sha:
            return self._known
        options = ("--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head")
        code, _, err = self._git("fetch", *options, self._url, f"+{self._ref}:{self._mine}", end=end)
        if code:
            if GONE.search(err):
                return None
            raise self._unreachable(err)
        code, out, err = self._git("rev-parse", self._mine, end=end)
        version = out.strip()
        code, out, err = self._git("cat-file", "blob", f"{version}:{FILE}", end=end)
        if code:
            todo = f"Look at it; git push {self._shown} :{self._ref} removes it"
            raise LeaseError(f"the ref {self._ref} of {self._shown} holds no lease", todo)
        self._known = Stored(record=from_text(out, f"{self._ref} of {self._shown}"), version=version)
        return self._known

    def swap(self, expected: str | None, record: Holding) -> str | None:
        """Push the record over the expected commit; see `ports.LeaseStore`."""
        self._prepare()
        end = time.monotonic() + self._timeout
        version = self._commit(record, end)
        lease, spec = f"--force-with-lease={self._ref}:{expected or ''}", f"{version}:{self._ref}"
        code, out, err = self._git("push", "--porcelain", "--no-verify", lease, self._url, spec, end=end)
        if code == 0:
            self._known = Stored(record=record, version=version)
            return version
        locked = next((line for line in (out + err).splitlines() if "File exists" in line), "")
        if LOST.search(out + err) and not locked:  # a lock, of a push under way or of one that was killed, is no verdict
            return None
        held = f"{self._ref} is locked by a push that is under way or was killed: File exists"
        raise self._unreachable(held if locked else err or out)

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def _mine(self) -> str:
        return f"refs/seen/{self._claim}"

    @property
    def _shown(self) -> str:
        return re.sub(r"://[^/@]*@", "://", self._url)

    def _prepare(self) -> None:
        if self._made > KEPT:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._made, self._known = 0, None
        if not (self._scratch / "HEAD").exists():
            self._scratch.mkdir(parents=True, exist_ok=True)
            code, _, err = self._git("init", "--quiet", "--bare", ".", end=time.monotonic() + self._timeout)
            if code:
                what = f"no repository for leases could be made in {self._scratch} ({_last(err)})"
                raise LeaseError(what, "Free some space there", permanent=False)

    def _commit(self, record: Holding, end: float) -> str:
        """The record as a commit without a parent, made in one call."""
        text, words = to_text(record), f"lease {record.claim} epoch {record.epoch} renewed {record.renewed}\n".encode()
        self._made += 1
        who = b"committer qcity <qcity@localhost> %d +0000" % int(time.time())
        lines = [b"commit refs/made/%s" % self._claim.encode(), b"mark :1", who]
        lines += [b"data %d" % len(words), words.rstrip(b"\n") + b"\n", b"M 100644 inline %s" % FILE.encode(), b"data %d" % len(text), text]
        code, out, err = self._git("fast-import", "--quiet", "--force", end=end, given=b"\n".join([*lines, b"get-mark :1", b"done", b""]))
        version = out.strip()
        if code or not re.fullmatch(r"[0-9a-f]{40,64}", version):
            raise LeaseError(f"the lease could not be written below {self._scratch} ({_last(err)})", "Free some space there", permanent=False)
        return version

    def _git(self, *args: str, end: float, given: bytes | None = None) -> tuple[int, str, str]:
        """Run git in our own repository; its code and both outputs. What is late is killed with all it started."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in KEPT_NAMES}
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_DIR": str(self._scratch)}
        env.setdefault("GIT_SSH_COMMAND", f"ssh -o BatchMode=yes -o ConnectTimeout={max(1, int(self._timeout))}")
        options = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null", "-c", "fastimport.unpackLimit=100")
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(
                ["git", *options, *args], cwd=self._scratch, env=env, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError:
            raise MissingTool("git is not installed", "apt-get install git") from None
        try:
            out, err = child.communicate(given, timeout=max(0.05, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            _end(child)
            raise LeaseError(f"{self._shown} has not answered within {self._timeout:.0f} s", "It is asked again", permanent=False) from None
        return child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def _unreachable(self, err: str) -> LeaseError:
        what = f"the leases in {self._shown} cannot be reached ({_last(err)})"
        return LeaseError(what, "It is asked again; git ls-remote shows more", permanent=False)


class KIND:
    """Leases in a git remote: `git:URL`."""

    @staticmethod
    def open(address: str, claim: str, *, home: Home, timeout: float) -> GitLease:
        """The lease of a claim in the remote at `address`.

        Raises:
            BadInput: there is none, or a password stands in it.
        """
        if not address or address.startswith("-"):
            raise BadInput("leases in git need a remote", 'Write lease = "git:URL"')
        if PASSWORD.match(address):
            raise BadInput("the address of the leases holds a password", "Leave it out: git's credential helper, or a key, knows it")
        return GitLease(address, claim, scratch=home.root / "leases" / f"{claim}.git", timeout=timeout)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End git with all it started: asked first, because one that is killed leaves its lock files, here or in a remote on this machine."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=GRACE_SECONDS)
            return
    child.communicate()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("hint:")]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "!"))]
    return (fatal or lines or ["it said nothing"])[0][:200]
