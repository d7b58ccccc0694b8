"""GitHub's addresses about a repository itself: references, files, pull requests, comments; and about the service: limits, what it is."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from ..exchange import sends
from ..faults import Reply
from . import shapes
from .routes import Call, Refusal, Route
from .state import Comment, Pull


def blob_sha(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _repo(call: Call) -> Reply:
    return sends(shapes.repository(call.state, call.here))


def _get_ref(call: Call) -> Reply:
    name = f"refs/{call.args['ref']}"
    if name not in call.here.refs:
        raise Refusal(404, "Not Found")
    return sends(shapes.git_ref(call.state, call.here, name))


def _make_ref(call: Call) -> Reply:
    """A branch from a commit that is known."""
    name, at, repo = call.need("ref", str), call.need("sha", str), call.here
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Refusal(422, "Reference name must start with 'refs' and have at least two slashes.")
    if name in repo.refs:
        raise Refusal(422, "Reference already exists")
    source = next((known for known, held in repo.refs.items() if held == at), None)
    if source is None:
        raise Refusal(422, "Object does not exist")
    repo.refs[name] = at
    repo.trees[name.removeprefix("refs/heads/")] = dict(repo.trees.get(source.removeprefix("refs/heads/"), {}))
    return sends(shapes.git_ref(call.state, repo, name), 201)


def _move_ref(call: Call) -> Reply:
    name, repo = f"refs/{call.args['ref']}", call.here
    if name not in repo.refs:
        raise Refusal(422, "Reference does not exist")
    repo.refs[name] = call.need("sha", str)
    return sends(shapes.git_ref(call.state, repo, name))


def _delete_ref(call: Call) -> Reply:
    name, repo = f"refs/{call.args['ref']}", call.here
    if repo.refs.pop(name, None) is None:
        raise Refusal(422, "Reference does not exist")
    repo.trees.pop(name.removeprefix("refs/heads/"), None)
    return Reply(status=204)


def _file(call: Call, path: str, content: bytes) -> dict[str, Any]:
    url, html, sha = f"{call.state.api()}/repos/{call.scope}", f"{call.state.root()}/{call.scope}", blob_sha(content)
    links = {"self": f"{url}/contents/{path}", "git": f"{url}/git/blobs/{sha}", "html": f"{html}/blob/main/{path}"}
    shape = {"type": "file", "size": len(content), "name": path.rpartition("/")[2], "path": path, "sha": sha, "_links": links}
    return {**shape, "url": links["self"], "git_url": links["git"], "html_url": links["html"], "download_url": f"{html}/raw/main/{path}"}


def _tree(call: Call, branch: str) -> dict[str, bytes]:
    tree = call.here.trees.get(branch.removeprefix("refs/heads/"))
    if tree is None:
        raise Refusal(404, f"No commit found for the ref {branch}")
    return tree


def _read(call: Call) -> Reply:
    """A file, or the files of a folder."""
    path, tree = call.args["path"].strip("/"), _tree(call, call.request.query.get("ref", call.here.default_branch))
    if path in tree:
        text = base64.encodebytes(tree[path]).decode()
        return sends({**_file(call, path, tree[path]), "encoding": "base64", "content": text})
    inside = [name for name in sorted(tree) if name.startswith(f"{path}/" if path else "") and "/" not in name[len(path) + 1 :]]
    if not inside:
        raise Refusal(404, "Not Found")
    return sends([_file(call, name, tree[name]) for name in inside])


def _write(call: Call) -> Reply:
    """Make or replace a file: replacing takes the sha of what is replaced. 409: it is another one, 422: it was not given."""
    path, repo = call.args["path"].strip("/"), call.here
    message, text = call.need("message", str), call.need("content", str)
    branch = str(call.body().get("branch", repo.default_branch))
    tree, given = _tree(call, branch), call.body().get("sha")
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refusal(422, "content is not valid Base64") from None
    there = tree.get(path)
    if there is not None and given is None:
        raise Refusal(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if given is not None and (there is None or blob_sha(there) != given):
        raise Refusal(409, f"{path} does not match {given}")
    tree[path] = content
    name = f"refs/heads/{branch}"
    before = repo.refs[name]
    repo.refs[name] = at = shapes.sha(before, path, content, message, call.state.now())
    url = f"{call.state.api()}/repos/{repo.full_name}/git/commits/{at}"
    commit = {"sha": at, "node_id": f"C_{at[:8]}", "url": url, "html_url": url, "message": message, "parents": [{"sha": before}]}
    return sends({"content": _file(call, path, content), "commit": commit}, 200 if there is not None else 201)


def _make_pull(call: Call) -> Reply:
    """422: a branch is not there, or there is an open one from it already."""
    repo, sent = call.here, call.body()
    title, base, head = call.need("title", str), call.need("base", str), call.need("head", str).rpartition(":")[2]
    for field, branch in (("head", head), ("base", base)):
        if f"refs/heads/{branch}" not in repo.refs:
            raise Refusal(422, "Validation Failed", errors=[{"resource": "PullRequest", "field": field, "code": "invalid"}])
    if any(one.state == "open" and (one.head, one.base) == (head, base) for one in repo.pulls):
        said = f"A pull request already exists for {repo.owner}:{head}."
        raise Refusal(422, "Validation Failed", errors=[{"resource": "PullRequest", "code": "custom", "message": said}])
    if repo.bare is not None and repo.refs[f"refs/heads/{head}"] == repo.refs[f"refs/heads/{base}"]:
        said = f"No commits between {base} and {head}"
        raise Refusal(422, "Validation Failed", errors=[{"resource": "PullRequest", "code": "custom", "message": said}])
    number = 1 + len(repo.pulls)
    made = Pull(id=next(call.state.ids), number=number, title=title, body=str(sent.get("body") or ""), head=head, base=base, created=call.state.now())
    made.draft = bool(sent.get("draft"))
    repo.pulls.append(made)
    return sends(shapes.pull(call.state, repo, made, full=True), 201)


def _pulls(call: Call) -> Reply:
    """Newest first; `state`, `head` (owner:branch) and `base` choose."""
    asked, repo = call.request.query, call.here
    state, head, base = asked.get("state", "open"), asked.get("head", "").rpartition(":")[2], asked.get("base", "")
    found = [one for one in reversed(repo.pulls) if state in {"all", one.state} and head in {"", one.head} and base in {"", one.base}]
    return call.array(shapes.pull(call.state, repo, one, full=False) for one in found)


def _pull(call: Call) -> Pull:
    found = next((one for one in call.here.pulls if one.number == call.number("pull_number")), None)
    if found is None:
        raise Refusal(404, "Not Found")
    return found


def _get_pull(call: Call) -> Reply:
    return sends(shapes.pull(call.state, call.here, _pull(call), full=True))


def _edit_pull(call: Call) -> Reply:
    pull, sent = _pull(call), call.body()
    pull.title, pull.body = str(sent.get("title", pull.title)), str(sent.get("body", pull.body))
    pull.state = str(sent.get("state", pull.state))
    return sends(shapes.pull(call.state, call.here, pull, full=True))


def _comment(call: Call) -> Reply:
    number, repo = call.number("issue_number"), call.here
    if all(one.number != number for one in repo.pulls):
        raise Refusal(404, "Not Found")
    made = Comment(id=next(call.state.ids), number=number, body=call.need("body", str), created=call.state.now())
    repo.comments.append(made)
    return sends(shapes.comment(call.state, repo, made), 201)


def _comments(call: Call) -> Reply:
    found = [one for one in call.here.comments if one.number == call.number("issue_number")]
    return call.array(shapes.comment(call.state, call.here, one) for one in found)


def _limit(call: Call) -> Reply:
    token = call.token
    assert token is not None
    assert token.reset is not None
    core = {"limit": token.limit, "used": token.used, "remaining": max(0, token.limit - token.used), "reset": int(token.reset.timestamp())}
    return sends({"resources": {"core": core, "search": core}, "rate": core})


def _meta(_call: Call) -> Reply:
    return sends({"verifiable_password_authentication": False, "actions": ["127.0.0.1/32"]})


def _zen(_call: Call) -> Reply:
    return Reply(body=b"Keep it logically awesome.", headers={"Content-Type": "text/plain; charset=utf-8"})


def _me(call: Call) -> Reply:
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    dates = dict.fromkeys(("created_at", "updated_at"), "2020-01-01T00:00:00Z")
    empty = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
    return sends({**shapes.user(call.state, "octocat"), **counts, **dates, **empty})


def _mine(call: Call) -> Reply:
    """The repositories that the token sees."""
    sees = call.token.sees if call.token is not None else None
    return call.array(shapes.repository(call.state, repo) for name, repo in call.state.repos.items() if sees is None or name in sees)


_AT = "/repos/{owner}/{repo}"
ROUTES = [
    Route(method="GET", pattern=_AT, handler=_repo),
    Route(method="GET", pattern=_AT + "/git/ref/{ref}", handler=_get_ref, needs="contents:read"),
    Route(method="POST", pattern=_AT + "/git/refs", handler=_make_ref, needs="contents:write"),
    Route(method="PATCH", pattern=_AT + "/git/refs/{ref}", handler=_move_ref, needs="contents:write"),
    Route(method="DELETE", pattern=_AT + "/git/refs/{ref}", handler=_delete_ref, needs="contents:write"),
    Route(method="GET", pattern=_AT + "/contents/{path}", handler=_read, needs="contents:read"),
    Route(method="PUT", pattern=_AT + "/contents/{path}", handler=_write, needs="contents:write"),
    Route(method="GET", pattern=_AT + "/pulls", handler=_pulls, needs="pull_requests:read"),
    Route(method="POST", pattern=_AT + "/pulls", handler=_make_pull, needs="pull_requests:write"),
    Route(method="GET", pattern=_AT + "/pulls/{pull_number}", handler=_get_pull, needs="pull_requests:read"),
    Route(method="PATCH", pattern=_AT + "/pulls/{pull_number}", handler=_edit_pull, needs="pull_requests:write"),
    Route(method="GET", pattern=_AT + "/issues/{issue_number}/comments", handler=_comments, needs="issues:read"),
    Route(method="POST", pattern=_AT + "/issues/{issue_number}/comments", handler=_comment, needs="issues:write"),
    Route(method="GET", pattern="/rate_limit", handler=_limit),
    Route(method="GET", pattern="/meta", handler=_meta),
    Route(method="GET", pattern="/zen", handler=_zen),
    Route(method="GET", pattern="/user", handler=_me),
    Route(method="GET", pattern="/user/repos", handler=_mine),
]
