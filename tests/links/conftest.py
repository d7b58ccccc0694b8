"""A folder with links, a repository, and what it takes to make them right."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone

import pytest

from qcity_nb.decide import links
from qcity_nb.io import rewrite, secrets
from qcity_nb.kinds.forges.http import Caller
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Binding
from qcity_nb.testing import smart_git
from qcity_nb.testing.github import FakeGitHub
from qcity_nb.testing.gitlab import FakeGitLab

OLD, NEW = "https://old.example", "https://new.example:8443"
REPO, BRANCH = "octo/hello", "qcity/links-app"
AT = datetime(2026, 11, 1, tzinfo=timezone.utc)


class Folder:
    """A folder whose links are made right."""

    def __init__(self, root, home) -> None:
        self.root, self.home = root, home
        root.mkdir()

    def put(self, path, text=f"see {OLD}/x\n"):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text if isinstance(text, bytes) else text.encode())
        return full

    def rewriter(self, *patterns, old=(OLD,), new=NEW):
        return links.Rewriter(aim=links.Aim(tunnel="app", new=new, old=old), patterns=patterns or ("**/*.md",))

    def sync(self, *patterns, commit="", dirty=False, durable=False, old=(OLD,), new=NEW):
        rewriter = self.rewriter(*patterns, old=old, new=new)
        binding = Binding(root=str(self.root), patterns=rewriter.patterns, commit=commit)
        return rewrite.sync(self.home, binding, rewriter, tunnel="app", new=new, why="it moved", actor="ann", dirty=dirty, durable=durable)

    def check(self, *patterns, commit=""):
        rewriter = self.rewriter(*patterns)
        return rewrite.check(self.home, Binding(root=str(self.root), patterns=rewriter.patterns, commit=commit), rewriter)

    def git(self, *words):
        return subprocess.run(["git", "-C", self.root, *words], check=True, capture_output=True, text=True).stdout.strip()

    def repository(self):
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ann")
        self.git("config", "user.email", "ann@example.org")
        self.commit()

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-qm", "x", "--allow-empty")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "root with a space ü", Home(tmp_path / "home"))


class Forge:
    """A stand-in with a real repository behind it, and what tests want to know of either kind in the same words."""

    def __init__(self, kind, server, bare) -> None:
        self.kind, self.server, self.bare = kind, server, bare
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
        (server.repository if kind == "github" else server.project)(REPO)
        self.token = server.token()
        self.url = server.serve(REPO, bare)

    def requests(self):
        """(number, state, title, body) of all, oldest first."""
        if self.kind == "github":
            found = self.server.repo(REPO).pulls
            return [(one.number, "merged" if one.merged else one.state, one.title, one.body) for one in found]
        found = next(iter(self.server.state.projects.values())).merges
        return [(one.number, {"opened": "open"}.get(one.state, one.state), one.title, one.description) for one in found]

    def states(self):
        return [one[1] for one in self.requests()]

    def close(self, number):
        found = self.server.repo(REPO).pulls if self.kind == "github" else next(iter(self.server.state.projects.values())).merges
        found[number - 1].state = "closed"

    def merge(self, number, **how):
        self.server.merge(REPO, number, **how)

    def weak(self):
        """A token that may read everything and write nothing."""
        if self.kind == "github":
            return self.server.token({"contents": "read", "pull_requests": "read"})
        return self.server.token(["read_api", "read_repository"])

    def pusher(self):
        """A token that may push and not propose."""
        if self.kind == "github":
            return self.server.token({"contents": "write", "pull_requests": "read"})
        return self.server.token(["read_api", "write_repository"])

    def keep(self, folder, token):
        """Have this be the token that is kept."""
        secrets.keep(folder.home, f"{self.kind}-127.0.0.1:{self.server.port}", token)

    @property
    def place(self):
        return "pulls" if self.kind == "github" else "merge_requests"

    def at(self, ref=BRANCH):
        return smart_git.refs(self.bare).get(f"refs/heads/{ref}", "")

    def show(self, path, ref=BRANCH):
        return smart_git.git(self.bare, "show", f"{ref}:{path}")


@pytest.fixture(params=["github", "gitlab"])
def forge(request, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(Caller.__init__, "__kwdefaults__", {"pause": lambda _seconds: None})  # waits between two attempts take no time
    with FakeGitHub(base="/api/v3") if request.param == "github" else FakeGitLab() as server:
        made = Forge(request.param, server, tmp_path / "bare.git")
        folder.put("a.md")
        folder.put("docs/b.md", f"{OLD}/y and {OLD}/z\n")
        folder.repository()
        folder.git("remote", "add", "origin", made.url)
        folder.git("push", "-q", str(made.bare), "main")
        server._settle_refs()
        made.keep(folder, made.token)
        yield made
