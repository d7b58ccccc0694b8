"""Bare repositories behind a stand-in, over git's smart HTTP: git's own `http-backend` answers, so that fetching and pushing are the real thing."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from .exchange import Request
from .faults import Reply


def asked(request: Request) -> tuple[str, str]:
    """The repository (owner/name) that a request of git is about, and the level that it takes, read or write; no name when it is none of git's."""
    name, mark, rest = request.path.lstrip("/").partition(".git/")
    ours = bool(mark) and rest in ("info/refs", "git-upload-pack", "git-receive-pack")
    return (name if ours else ""), "write" if "git-receive-pack" in (rest, request.query.get("service")) else "read"


def password(request: Request) -> str:
    """The password of a request; empty when there is none."""
    kind, _, value = request.header("Authorization").partition(" ")
    return base64.b64decode(value).decode("utf-8", "replace").partition(":")[2] if kind == "Basic" else ""


def refuses(status: int, text: str) -> Reply:
    """An error in words that git prints; 401 asks for a password."""
    more = {"WWW-Authenticate": 'Basic realm="git"'} if status == 401 else {}
    return Reply(status=status, body=text.encode(), headers={"Content-Type": "text/plain", **more})


def serve(request: Request, bare: Path) -> Reply:
    """What git's own server answers from a bare repository; whoever comes here may write."""
    env = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(bare),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "PATH_INFO": "/" + request.path.partition(".git/")[2],
        "QUERY_STRING": request.target.partition("?")[2],
        "REQUEST_METHOD": request.method,
        "REMOTE_USER": "somebody",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": request.header("Content-Type"),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.header("Content-Encoding"),
        "GIT_PROTOCOL": request.header("Git-Protocol"),
    }
    done = subprocess.run(["git", "http-backend"], input=request.body, capture_output=True, env=env, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n"))
    return Reply(status=int(headers.pop("Status", "200").split()[0]), body=body, headers=headers)


def git(bare: Path, *words: str) -> str:
    """Run git in a bare repository."""
    who = ["-c", "user.name=Forge", "-c", "user.email=forge@localhost"]
    return subprocess.run(["git", "-C", bare, *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def refs(bare: Path) -> dict[str, str]:
    """The refs of a bare repository."""
    lines = git(bare, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def merge(bare: Path, base: str, head: str, *, squash: bool) -> None:
    """Merge a branch into another one, as the button of a forge does: by a commit of the forge's own."""
    ends = [git(bare, "rev-parse", f"refs/heads/{name}") for name in (base, head)]
    tree = git(bare, "merge-tree", "--write-tree", *ends).splitlines()[0]
    parents = [word for end in (ends[:1] if squash else ends) for word in ("-p", end)]
    git(bare, "update-ref", f"refs/heads/{base}", git(bare, "commit-tree", tree, *parents, "-m", f"Merge {head}"))


def through(request: Request, find: Callable[[str], Path | None], enter: Callable[[str, str, str], Reply | None]) -> Reply | None:
    """The answer to a request of git, or None when it is none.

    Args:
        find: the bare repository of owner/name.
        enter: the refusal for a password, a repository and a level; None lets in.
    """
    name, level = asked(request)
    bare = find(name) if name else None
    if not name:
        return None
    refusal = enter(password(request), name, level)
    if refusal is not None:
        return refusal
    return serve(request, bare) if bare is not None else refuses(404, "Repository not found.")
