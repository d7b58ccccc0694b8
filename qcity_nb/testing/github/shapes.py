"""What GitHub's objects look like as JSON: state in, plain data out, every field there that GitHub's own description requires."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from ..exchange import zulu
from .state import READ_ONLY, Comment, Group, Job, Pull, Repo, Run, Runner, State

_REPO_PLAIN = (
    "contributors deployments downloads events forks hooks languages merges stargazers subscribers subscription tags teams"
)  # addresses that are whole, the others end in a template
_REPO_TEMPLATES = (
    "archive assignees blobs branches collaborators comments commits compare contents git_commits git_refs git_tags issue_comment issue_events"
    " issues keys labels milestones notifications pulls releases statuses trees"
)
_USER_URLS = "followers following gists starred subscriptions organizations repos events received_events"


def sha(*parts: object) -> str:
    """A name of forty digits for some content."""
    return hashlib.sha1("\0".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def when(moment: datetime | None) -> str | None:
    """A moment, or null."""
    return None if moment is None else zulu(moment)


def user(state: State, login: str) -> dict[str, Any]:
    """A simple user."""
    url = f"{state.api()}/users/{login}"
    number = int(sha(login)[:6], 16)
    plain = {"login": login, "id": number, "node_id": f"U_{number}", "gravatar_id": "", "type": "User", "site_admin": False}
    links = {f"{word}_url": f"{url}/{word}" for word in _USER_URLS.split()}
    return {**plain, **links, "url": url, "html_url": f"{state.root()}/{login}", "avatar_url": f"{state.root()}/avatars/{login}.png"}


def repository(state: State, repo: Repo, *, full: bool = True) -> dict[str, Any]:
    """A repository, in full or as it stands in a run."""
    url, html = f"{state.api()}/repos/{repo.full_name}", f"{state.root()}/{repo.full_name}"
    shape: dict[str, Any] = {"id": repo.id, "node_id": f"R_{repo.id}", "name": repo.name, "full_name": repo.full_name, "private": repo.private}
    shape |= {"owner": user(state, repo.owner), "html_url": html, "description": None, "fork": False, "url": url}
    shape |= {f"{word}_url": f"{url}/{word}" for word in _REPO_PLAIN.split()}
    shape |= {f"{word}_url": f"{url}/{word.replace('_', '/')}{{/name}}" for word in _REPO_TEMPLATES.split()}
    if not full:
        return shape
    shape |= {"git_url": f"git:{html}.git", "ssh_url": f"git@localhost:{repo.full_name}.git", "clone_url": f"{html}.git", "svn_url": html}
    shape |= {"mirror_url": None, "homepage": None, "language": None, "license": None, "default_branch": repo.default_branch, "visibility": "private"}
    words = "forks_count stargazers_count watchers_count size open_issues_count subscribers_count network_count forks open_issues watchers"
    shape |= dict.fromkeys(words.split(), 0)
    shape |= dict.fromkeys(("has_projects", "has_wiki", "has_pages", "has_discussions", "archived", "disabled"), False)
    shape |= {"has_issues": True, "has_downloads": True}
    shape |= dict.fromkeys(("pushed_at", "created_at", "updated_at"), zulu(repo.created))
    return {**shape, "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True}}


def labels(runner: Runner) -> list[dict[str, Any]]:
    """The labels of a runner: those that say what it is are read-only."""
    return [{"id": i, "name": name, "type": "read-only" if name.lower() in READ_ONLY else "custom"} for i, name in enumerate(runner.labels, 1)]


def runner(state: State, one: Runner) -> dict[str, Any]:
    """A runner."""
    status = "online" if state.online(one) else "offline"
    plain = {"id": one.id, "name": one.name, "os": one.os, "status": status, "busy": one.busy, "labels": labels(one)}
    return {**plain, "ephemeral": one.ephemeral, "runner_group_id": one.group, "version": one.version}


def group(state: State, organisation: str, one: Group) -> dict[str, Any]:
    """A runner group."""
    url = f"{state.api()}/orgs/{organisation}/actions/runner-groups/{one.id}/runners"
    plain = {"id": one.id, "name": one.name, "visibility": "all", "default": one.default, "runners_url": url}
    return {**plain, "inherited": False, "allows_public_repositories": False}


def job(state: State, one: Job) -> dict[str, Any]:
    """A job."""
    run = state.runs[one.run]
    url, html = f"{state.api()}/repos/{one.repo}", f"{state.root()}/{one.repo}"
    shape: dict[str, Any] = {"id": one.id, "run_id": one.run, "run_url": f"{url}/actions/runs/{one.run}", "run_attempt": one.attempt}
    shape |= {"node_id": f"CR_{one.id}", "head_sha": run.sha, "url": f"{url}/actions/jobs/{one.id}", "status": one.status}
    shape |= {"html_url": f"{html}/actions/runs/{one.run}/job/{one.id}", "conclusion": one.conclusion, "created_at": when(one.created)}
    shape |= {"started_at": when(one.started or one.created), "completed_at": when(one.completed), "name": one.name, "steps": one.steps}
    shape |= {"check_run_url": f"{url}/check-runs/{one.id}", "labels": list(one.labels), "runner_id": one.runner, "runner_name": one.runner_name}
    held = one.runner is not None
    shape |= {"runner_group_id": 1 if held else None, "runner_group_name": "Default" if held else None}
    return {**shape, "workflow_name": run.name, "head_branch": run.branch}


def run(state: State, one: Run) -> dict[str, Any]:
    """A workflow run."""
    repo = state.repos[one.repo.lower()]
    url, html = f"{state.api()}/repos/{one.repo}/actions/runs/{one.id}", f"{state.root()}/{one.repo}/actions/runs/{one.id}"
    status, conclusion = state.status_of(one)
    who = {"name": repo.owner, "email": f"{repo.owner}@localhost"}
    commit = {"id": one.sha, "tree_id": sha("tree", one.sha), "message": "a change", "timestamp": zulu(one.created), "author": who, "committer": who}
    shape: dict[str, Any] = {"id": one.id, "name": one.name, "node_id": f"WFR_{one.id}", "head_branch": one.branch, "head_sha": one.sha}
    shape |= {"path": one.path, "display_title": "a change", "run_number": one.number, "run_attempt": one.attempt, "event": one.event}
    shape |= {"status": status, "conclusion": conclusion, "workflow_id": repo.id, "url": url, "html_url": html, "pull_requests": []}
    shape |= dict.fromkeys(("created_at", "updated_at", "run_started_at"), zulu(one.created))
    shape |= {f"{word}_url": f"{url}/{word}" for word in ("jobs", "logs", "artifacts", "cancel", "rerun")}
    shape |= {"check_suite_url": f"{url}/suite", "workflow_url": f"{state.api()}/repos/{one.repo}/actions/workflows/{repo.id}"}
    small = repository(state, repo, full=False)
    actor = user(state, repo.owner)
    return {**shape, "head_commit": commit, "repository": small, "head_repository": small, "actor": actor, "triggering_actor": actor}


def git_ref(state: State, repo: Repo, name: str) -> dict[str, Any]:
    """A reference; `name` begins with refs/."""
    url, at = f"{state.api()}/repos/{repo.full_name}/git", repo.refs[name]
    target = {"type": "commit", "sha": at, "url": f"{url}/commits/{at}"}
    return {"ref": name, "node_id": f"REF_{sha(name)[:8]}", "url": f"{url}/{name}", "object": target}


def pull(state: State, repo: Repo, one: Pull, *, full: bool) -> dict[str, Any]:
    """A pull request, as it is alone or in a list."""
    url, html = f"{state.api()}/repos/{repo.full_name}", f"{state.root()}/{repo.full_name}/pull/{one.number}"
    whole, owner, issue = repository(state, repo), user(state, repo.owner), f"{url}/issues/{one.number}"
    here = f"{url}/pulls/{one.number}"

    def end(branch: str) -> dict[str, Any]:
        at = repo.refs.get(f"refs/heads/{branch}", sha(branch))
        return {"label": f"{repo.owner}:{branch}", "ref": branch, "sha": at, "repo": whole, "user": owner}

    links = {"html": html, "self": here, "issue": issue, "comments": f"{issue}/comments", "statuses": f"{url}/statuses/{end(one.head)['sha']}"}
    links |= {"commits": f"{here}/commits", "review_comments": f"{here}/comments", "review_comment": f"{url}/pulls/comments{{/number}}"}
    shape: dict[str, Any] = {"id": one.id, "number": one.number, "node_id": f"PR_{one.id}", "url": here, "html_url": html, "state": one.state}
    shape |= {f"{word}_url": text for word, text in links.items() if word not in {"html", "self"}}
    shape |= {"diff_url": f"{html}.diff", "patch_url": f"{html}.patch", "locked": False, "title": one.title, "body": one.body, "user": owner}
    shape |= {"labels": [], "milestone": None, "assignee": None, "auto_merge": None, "author_association": "OWNER", "draft": one.draft}
    shape |= dict.fromkeys(("created_at", "updated_at"), zulu(one.created)) | dict.fromkeys(("closed_at", "merge_commit_sha"))
    shape |= {"merged_at": when(one.merged)}
    shape |= {"head": end(one.head), "base": end(one.base), "_links": {word: {"href": text} for word, text in links.items()}}
    if full:
        shape |= {"merged": one.merged is not None, "mergeable": True, "mergeable_state": "clean", "merged_by": None, "maintainer_can_modify": False}
        shape |= dict.fromkeys(("comments", "review_comments", "additions", "deletions"), 0) | {"commits": 1, "changed_files": 1}
    return shape


def comment(state: State, repo: Repo, one: Comment) -> dict[str, Any]:
    """A comment."""
    url, html = f"{state.api()}/repos/{repo.full_name}", f"{state.root()}/{repo.full_name}/pull/{one.number}"
    shape: dict[str, Any] = {"id": one.id, "node_id": f"IC_{one.id}", "url": f"{url}/issues/comments/{one.id}"}
    shape |= {"html_url": f"{html}#issuecomment-{one.id}"}
    at = dict.fromkeys(("created_at", "updated_at"), zulu(one.created))
    shape |= {"user": user(state, repo.owner), "issue_url": f"{url}/issues/{one.number}", "body": one.body, "author_association": "OWNER"}
    return {**shape, **at}
