"""A stand-in of Hugging Face's hub over loopback HTTP, as far as leases, runs and pages need it: datasets and Spaces, branches, commits, files.

tests/testing/test_hub.py has the official client drive it, where that is installed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .exchange import Request, address, sends, utcnow
from .faults import Reply
from .forge import Forge

API = "/api/{family}/{owner}/{name}"


@dataclass
class Dataset:
    """One repository: branch -> sha, sha -> path -> content."""

    private: bool = True
    sdk: str = ""  # of a Space
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def put(self, branch: str, files: dict[str, bytes], summary: str, *, gone: Sequence[str] = ()) -> str:
        """A commit on a branch; its sha, which its parent is part of."""
        parent = self.branches.get(branch, "")
        whole = {path: data for path, data in {**self.commits.get(parent, {}), **files}.items() if path not in gone}
        sha = hashlib.sha1(repr((parent, summary, sorted(whole.items()))).encode()).hexdigest()  # noqa: S324 - as git's
        self.commits[sha], self.branches[branch] = whole, sha
        return sha

    def find(self, revision: str) -> str | None:
        """The sha of a branch or of a commit."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class FakeHub(Forge):
    """The hub. `tokens` may read and write everything; `datasets` are there; `cache`, an origin or "/", is where a redirect leads to files."""

    def __init__(self, *, now: Callable[[], datetime] = utcnow) -> None:
        super().__init__(now=now)
        self.tokens = {"hf_stand_in"}
        self.datasets: dict[str, Dataset] = {}
        self.spaces: dict[str, Dataset] = {}
        self.cache = ""

    def dataset(self, name: str) -> Dataset:
        """Make a dataset with its first commit."""
        made = self.datasets[name] = Dataset()
        made.put("main", {".gitattributes": b""}, "initial commit")
        return made

    def space(self, name: str, *, sdk: str = "static") -> Dataset:
        """Make a Space with its first commit."""
        made = self.spaces[name] = Dataset(private=False, sdk=sdk)
        made.put("main", {"README.md": f"---\nsdk: {sdk}\n---\n".encode()}, "initial commit")
        return made

    def answer(self, request: Request) -> Reply:
        """What the hub says."""
        routes: list[tuple[str, str, Callable[[Request, Dataset, dict[str, str]], Reply]]] = [
            ("GET", API, self._revision),
            ("GET", f"{API}/refs", self._refs),
            ("GET", f"{API}/revision/{{ref}}", self._revision),
            ("POST", f"{API}/branch/{{ref}}", self._branch),
            ("DELETE", f"{API}/branch/{{ref}}", self._no_branch),
            ("POST", f"{API}/preupload/{{ref}}", self._preupload),
            ("POST", f"{API}/commit/{{ref}}", self._commit),
            ("GET", "/{family}/{owner}/{name}/resolve/{sha}/{path}", self._resolve),
            ("GET", "/api/resolve-cache/{family}/{owner}/{name}/{sha}/{path}", self._resolve),
        ]
        if request.header("Authorization").removeprefix("Bearer ") not in self.tokens:
            return _error(401, "Invalid username or password.", "")
        if (request.method, request.path) == ("POST", "/api/repos/create"):
            return self._create(request)
        for method, pattern, act in routes:
            if request.method == method and (args := address(pattern, request.raw)) is not None:
                known = {"datasets": self.datasets, "spaces": self.spaces}.get(args["family"], {}).get(f"{args['owner']}/{args['name']}")
                return _error(404, "Repository not found", "RepoNotFound") if known is None else act(request, known, args)
        return _error(404, "Not Found", "")

    def _create(self, request: Request) -> Reply:
        body = request.json()
        name = f"{body['organization']}/{body['name']}"
        if body.get("type") != "dataset" or body.get("visibility") not in ("private", "public"):
            return _error(400, "Invalid body", "")
        known = {"name": name, "url": f"{self.url}/datasets/{name}"}
        if name in self.datasets:
            return sends({"error": "You already created this dataset repo", **known}, 409)
        self.dataset(name).private = body["visibility"] == "private"
        return sends(known)

    def _revision(self, _request: Request, dataset: Dataset, args: dict[str, str]) -> Reply:
        ref = args.get("ref", "main")
        sha = dataset.find(ref)
        if sha is None:
            return _error(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        files = [{"rfilename": path} for path in sorted(dataset.commits[sha])]
        said = {"id": f"{args['owner']}/{args['name']}", "sha": sha, "private": dataset.private, "tags": [], "siblings": files}
        return sends({**said, "sdk": dataset.sdk} if dataset.sdk else said)

    def _refs(self, _request: Request, dataset: Dataset, _args: dict[str, str]) -> Reply:
        known = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in dataset.branches.items()]
        return sends({"branches": known, "converts": [], "tags": []})

    def _branch(self, request: Request, dataset: Dataset, args: dict[str, str]) -> Reply:
        start = dataset.find(request.json().get("startingPoint") or "main")
        if args["ref"] in dataset.branches:
            return _error(409, "Reference already exists", "")
        if start is None:
            return _error(404, "Invalid rev id", "RevisionNotFound")
        dataset.branches[args["ref"]] = start
        return Reply(status=201)

    def _no_branch(self, _request: Request, dataset: Dataset, args: dict[str, str]) -> Reply:
        if args["ref"] == "main" or dataset.branches.pop(args["ref"], None) is None:
            return _error(404, f"Invalid rev id: {args['ref']}", "RevisionNotFound")
        return Reply(status=200)

    def _preupload(self, request: Request, _dataset: Dataset, _args: dict[str, str]) -> Reply:
        files = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in request.json()["files"]]
        return sends({"files": files})

    def _commit(self, request: Request, dataset: Dataset, args: dict[str, str]) -> Reply:
        header, *changes = [json.loads(line) for line in request.body.splitlines()]
        if args["ref"] not in dataset.branches:
            return _error(404, f"Invalid rev id: {args['ref']}", "RevisionNotFound")
        parent = header["value"].get("parentCommit")
        if parent and parent != dataset.branches[args["ref"]]:
            return _error(412, "A commit has happened since. Please refresh and try again.", "")
        files = {one["value"]["path"]: base64.b64decode(one["value"]["content"]) for one in changes if one["key"] == "file"}
        gone = [one["value"]["path"] for one in changes if one["key"] == "deletedFile"]
        sha = dataset.put(args["ref"], files, header["value"]["summary"], gone=gone)
        return sends({"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{args['family']}/{args['owner']}/{args['name']}/commit/{sha}"})

    def _resolve(self, request: Request, dataset: Dataset, args: dict[str, str]) -> Reply:
        sha = dataset.find(args["sha"])
        if sha is None:
            return _error(404, "Invalid rev id", "RevisionNotFound")
        if self.cache and not request.path.startswith("/api/"):
            there = f"/api/resolve-cache/{args['family']}/{args['owner']}/{args['name']}/{sha}/{args['path']}"
            return Reply(status=307, headers={"Location": self.cache.rstrip("/") + there})
        content = dataset.commits[sha].get(args["path"])
        if content is None:
            return _error(404, "Entry not found", "EntryNotFound")
        return Reply(body=content, headers={"Content-Type": "text/plain; charset=utf-8", "X-Repo-Commit": sha})


def _error(status: int, message: str, code: str) -> Reply:
    reply = sends({"error": message}, status)
    if code:
        reply.headers["X-Error-Code"] = code
    return reply
