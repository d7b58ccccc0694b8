"""What the remote of a repository has, and pushing one branch there that is ours alone: with lease, without hooks, the token in git's environment.

It never forces what it has not just seen to be made by us, and leaves the branches of people and their tracking refs alone.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import BadInput, MissingTool, PlatformError, Refused
from . import worktree
from .branches import OURS, base_ref

SECONDS = 60.0
KEPT = ("GIT_SSH", "GIT_SSL_CAINFO", "GIT_PROXY_SSL", "GIT_CONFIG")
SETTINGS = ("gc.auto=0", "maintenance.auto=false", f"core.hooksPath={os.devnull}", "push.gpgSign=false", "credential.helper=")
USERS = {"github": "x-access-token", "gitlab": "oauth2"}
"""The user that a forge wants beside a token."""
MOVED = re.compile(r"stale info|fetch first|non-fast-forward|cannot lock ref|incorrect old value|failed to update ref|reference already exists")
WORDS = (
    (r"Authentication failed|could not read (?:User|Pass)|requested URL returned error: 401", "unauthorized", "Give another token, or another key"),
    (r"error: 403|Permission to .* denied|not allowed to push|Write access .* not granted|read-only", "forbidden", "Let the token write there"),
    (r"not found|does not appear to be a git repo|error: 404|does not exist", "not_found", "It does not exist, or the token cannot see it"),
    (r"\[remote rejected\]|pre-receive hook|protected branch", "invalid", "Let its rules take this branch, or name another one: pull:BRANCH"),
)
"""What git's words mean, for people."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A remote of the repository at `top`, by its name; `env` holds what a token becomes for git, and is shown nowhere."""

    top: str
    name: str
    url: str
    shown: str
    token: str = field(default="", repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_token(self, forge: str, host: str, token: str) -> Remote:
        """The same, entered with a token where it is reached over HTTP at that host and no other; what else would be sent there is left out."""
        secret = base64.b64encode(f"{USERS[forge]}:{token}".encode()).decode()
        settings = [("http.followRedirects", "false")]
        for url in {self.url, worktree.git(self.top, "remote", "get-url", self.name).decode().strip()}:
            found = re.fullmatch(r"(https?://)(?:[^/@]*@)?([^/]+)(/.*)", url)
            if found is not None and found[2].lower() == host:
                key = f"http.{found[1]}{found[2]}{found[3]}.extraHeader"  # the whole address: of several settings git takes the closest
                settings += [(key, ""), (key, f"Authorization: Basic {secret}")]
        first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        env = {"GIT_CONFIG_COUNT": str(first + len(settings))}
        for number, (key, value) in enumerate(settings, first):
            env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return Remote(top=self.top, name=self.name, url=self.url, shown=self.shown, token=token, env=env)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a remote has: its own branch and the commit of it, and the commit of our branch; empty when there is none."""

    base: str
    at: str
    tip: str


def of(root: str, branch: str = "") -> Remote:
    """The remote that a branch of the repository around a folder is pushed to: its own, else origin, else the only one.

    Raises:
        BadInput: it is in no repository.
        Refused: it has no remote, or several and none that is meant.
    """
    if not (top := worktree.repository_of(root, {})):
        raise BadInput(f"{root} is in no git repository", "Leave pull out, or make one with git init")
    names = worktree.git(top, "remote").decode().split()
    own = setting(top, f"branch.{branch}.remote")
    name = own if own in names else "origin" if "origin" in names else names[0] if len(names) == 1 else ""
    if not name:
        todo = "Add one: git remote add origin URL" if not names else "Call the one that is meant origin"
        raise Refused(f"the repository {top} has {'no remote' if not names else 'several remotes, and none is origin'}", todo, permanent=False)
    url = worktree.git(top, "remote", "get-url", "--push", name).decode().strip()
    return Remote(top=top, name=name, url=url, shown=re.sub(r"://[^/@]*@", "://", url))


def setting(top: str, key: str) -> str:
    """A setting of the repository's git; empty when there is none."""
    with contextlib.suppress(Refused):
        return worktree.git(top, "config", "--get", key).decode().strip()
    return ""


def look(remote: Remote, branch: str) -> Seen:
    """What is there, asked and fetched now.

    Raises:
        BadInput: the branch is the remote's own, which is never pushed to, or its name is none.
        Refused: it has no commit yet, or its branch of our name has commits that are not ours.
        PlatformError: it refused, or cannot be reached.
    """
    worktree.check_branch(remote.top, branch)
    said = _git(remote, "ls-remote", "--symref", remote.name, "HEAD", f"refs/heads/{branch}")
    found = {name: at for at, name in (line.split("\t") for line in said.splitlines() if "\t" in line)}
    head = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
    if head is None or "HEAD" not in found:
        raise Refused(f"nothing was pushed to {remote.shown} yet", "Push once, then it is tried again", permanent=False)
    if branch == head[1]:
        raise BadInput(f"{branch} is the branch that {remote.shown} shows, so it cannot be proposed to itself", "Name another one: pull:BRANCH")
    seen = Seen(base=head[1], at=found["HEAD"], tip=found.get(f"refs/heads/{branch}", ""))
    refs = [f"+refs/heads/{seen.base}:{base_ref(branch)}", *([f"+refs/heads/{branch}:refs/qcity/seen/{branch}"] if seen.tip else [])]
    _git(remote, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", remote.name, *refs)
    if seen.tip:
        made = [worktree.git(remote.top, "log", "--format=%B%x00", *words) for words in ((seen.tip, f"^{seen.at}"), ("-1", seen.tip))]
        if not all(OURS in one.splitlines() for one in b"".join(made).decode("utf-8", "replace").split("\0")[:-1]):
            todo = "Take them over or delete the branch there, or name another one: pull:BRANCH"
            raise Refused(f"the branch {branch} of {remote.shown} has commits that are not ours", todo, permanent=False)
    return seen


def push(remote: Remote, branch: str, commit: str, *, seen: Seen) -> None:
    """Put a commit (empty: nothing) on our branch there, if that still is what was seen.

    Raises:
        PlatformError: it refused, cannot be reached, or has gone on meanwhile.
    """
    lease = f"--force-with-lease=refs/heads/{branch}:{seen.tip}"
    _git(remote, "push", "--porcelain", "--no-verify", lease, remote.name, f"{commit}:refs/heads/{branch}")


def _git(remote: Remote, *words: str) -> str:
    """Run git against the remote; what is late is ended with all it started."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(KEPT)}
    env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", **remote.env}
    env.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
    command, pipe = ["git", "-C", remote.top, *(word for one in SETTINGS for word in ("-c", one)), *words], subprocess.PIPE
    try:
        child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    except FileNotFoundError:
        raise MissingTool("git is not installed", "apt-get install git") from None
    try:
        out, err = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        _end(child)
        raise PlatformError(f"{remote.shown} has not answered within {SECONDS:.0f} s", "It is tried again", kind="unreachable") from None
    if child.returncode:
        raise _failed(remote, words[0], (err + out).decode("utf-8", "replace"))
    return out.decode("utf-8", "replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=0.5)
            return
    child.communicate()


def _failed(remote: Remote, verb: str, said: str) -> PlatformError:
    if remote.token:
        said = said.replace(remote.token, "***")
    lines = [re.sub(r"://[^/@\s]*@", "://", line.strip().removeprefix("remote: ")) for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "To ", "Done", "error: failed to push"))]
    why = next((line for line in lines if line.startswith(("fatal:", "ERROR", "error:", "!"))), lines[0] if lines else "git said nothing")
    doing = "be pushed to" if verb == "push" else "be looked at in"
    if MOVED.search(said):
        return PlatformError(f"our branch in {remote.shown} has gone on meanwhile", "It is tried again", kind="busy")
    what = f"the branch cannot {doing} {remote.shown} ({' '.join(why.split())[:160]})"
    for words, kind, todo in WORDS:
        if re.search(words, said, re.IGNORECASE):
            return PlatformError(what, todo, kind=kind)
    return PlatformError(what, "It is tried again; git ls-remote shows more", kind="unreachable")
