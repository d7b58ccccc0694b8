"""Every address of the stand-ins is asked once and answers well; GitHub's under its contract."""

from __future__ import annotations

import base64

import pytest
import requests

from qcity_nb.testing.exchange import address
from qcity_nb.testing.github import FakeGitHub
from qcity_nb.testing.github import hub as github_hub
from qcity_nb.testing.gitlab import FakeGitLab
from qcity_nb.testing.gitlab import hub as gitlab_hub

REPO, LABELS = "acme/app", {"labels": ["x", "y"]}
JIT = {"name": "jit", "runner_group_id": 1, "labels": ["self-hosted"], "work_folder": "_work"}


def answered(fake, routes):
    """The routes that gave a good answer, and those that did not."""
    good = [(line.method, line.path) for line in fake.log if 0 < line.status < 400]
    return [route for route in routes if not any(method == route.method and address(route.pattern, path) is not None for method, path in good)]


@pytest.fixture
def ask():
    with requests.Session() as session:

        def ask(fake, method, path, body=None):
            reply = session.request(method, fake.url + path, json=body, timeout=5, allow_redirects=False)
            assert reply.status_code < 400, (method, path, reply.text)
            return reply

        ask.headers = session.headers
        yield ask


def test_github(ask):
    with FakeGitHub() as fake:
        fake.organisation("acme")
        fake.repository(REPO)
        fake.offer(b"archive")
        ask.headers["Authorization"] = f"Bearer {fake.token()}"
        for path in ("/meta", "/zen", "/user", "/user/repos", "/rate_limit", f"/repos/{REPO}", "/orgs/acme/actions/runner-groups"):
            ask(fake, "GET", path)
        for scope in (f"/repos/{REPO}", "/orgs/acme"):
            walk_runners(ask, fake, f"{scope}/actions/runners")
        walk_runs(ask, fake, f"/repos/{REPO}/actions")
        walk_files(ask, fake, f"/repos/{REPO}")
        assert answered(fake, [route for route in github_hub.ROUTES if not route.open]) == []


def walk_runners(ask, fake, at):
    for token in ("registration-token", "remove-token"):
        ask(fake, "POST", f"{at}/{token}")
    one = f"{at}/{ask(fake, 'POST', f'{at}/generate-jitconfig', JIT).json()['runner']['id']}"
    for path in (at, f"{at}/downloads", one, f"{one}/labels"):
        ask(fake, "GET", path)
    for method, more, body in (("POST", "", LABELS), ("DELETE", "/x", None), ("PUT", "", LABELS), ("DELETE", "", None)):
        ask(fake, method, f"{one}/labels{more}", body)
    ask(fake, "DELETE", one)


def walk_runs(ask, fake, at):
    sent = {"ref": "main", "inputs": {"depth": "1"}, "return_run_details": True}
    run = ask(fake, "POST", f"{at}/workflows/ci.yml/dispatches", sent).json()["workflow_run_id"]
    ask(fake, "POST", f"{at}/workflows/ci.yml/dispatches", {"ref": "main"})
    job = next(job.id for job in fake.jobs(REPO) if job.run == run)
    fake.finish_job(job, "failure")
    for path in ("/runs", f"/runs/{run}", f"/runs/{run}/jobs?filter=all", f"/runs/{run}/attempts/1/jobs", f"/jobs/{job}", f"/jobs/{job}/logs"):
        ask(fake, "GET", at + path)
    for path, cancel in ((f"/jobs/{job}/rerun", "cancel"), (f"/runs/{run}/rerun", "force-cancel"), (f"/runs/{run}/rerun-failed-jobs", "cancel")):
        ask(fake, "POST", at + path)
        ask(fake, "POST", f"{at}/runs/{run}/{cancel}")


def walk_files(ask, fake, at):
    sha = ask(fake, "GET", f"{at}/git/ref/heads/main").json()["object"]["sha"]
    ask(fake, "POST", f"{at}/git/refs", {"ref": "refs/heads/a/b", "sha": sha})
    ask(fake, "PATCH", f"{at}/git/refs/heads/a/b", {"sha": sha, "force": True})
    who = {"name": "n", "email": "n@localhost"}
    sent = {"message": "m", "content": base64.b64encode(b"x").decode(), "branch": "a/b", "committer": who}
    ask(fake, "PUT", f"{at}/contents/docs/c.md", sent)
    for path in ("docs", "docs/c.md"):
        ask(fake, "GET", f"{at}/contents/{path}?ref=a/b")
    ask(fake, "POST", f"{at}/pulls", {"title": "t", "head": "a/b", "base": "main"})
    ask(fake, "POST", f"{at}/issues/1/comments", {"body": "b"})
    for path in ("pulls", "pulls/1", "issues/1/comments"):
        ask(fake, "GET", f"{at}/{path}")
    ask(fake, "PATCH", f"{at}/pulls/1", {"title": "u", "state": "closed"})
    ask(fake, "DELETE", f"{at}/git/refs/heads/a/b")


def test_gitlab(ask):
    with FakeGitLab() as fake:
        ask.headers["PRIVATE-TOKEN"] = fake.token()
        project, group, at = fake.project(REPO), fake.group("acme"), "/projects/1"
        ask(fake, "POST", "/user/runners", {"runner_type": "group_type", "group_id": group.id, "description": "one"})
        job = fake.queue_job(REPO)
        one = fake.runner("one")
        given = ask(fake, "POST", "/jobs/request", {"token": one.token, "system_id": "s"}).json()
        ask.headers["JOB-TOKEN"] = given["token"]
        with fake.lock:
            fake.job(job).archive = ("a.zip", b"zip")
        for path in ("", "/all", f"/{one.id}", f"/{one.id}/jobs", f"/{one.id}/managers"):
            ask(fake, "GET", f"/runners{path}")
        for path in ("/user", "/version", "/personal_access_tokens/self", "/projects"):
            ask(fake, "GET", path)
        for path in ("", "/acme", "/acme/projects", "/acme/runners"):
            ask(fake, "GET", f"/groups{path}")
        for path in ("", "/runners", "/jobs", f"/jobs/{job}", f"/jobs/{job}/trace", f"/jobs/{job}/artifacts", "/pipelines"):
            ask(fake, "GET", at + path)
        pipeline, manual = f"{at}/pipelines/{given['variables'][-1]['value']}", fake.queue_job(REPO, manual=True)
        ask(fake, "POST", f"{at}/jobs/{job}/cancel")
        ask(fake, "POST", f"{at}/jobs/{job}/retry")
        ask(fake, "POST", f"{at}/jobs/{manual}/play")
        for method, path in (("GET", ""), ("GET", "/jobs"), ("POST", "/cancel"), ("POST", "/retry")):
            ask(fake, method, pipeline + path)
        ask(fake, "PUT", f"/runners/{one.id}", {"paused": True})
        ask(fake, "POST", f"/runners/{one.id}/reset_authentication_token")
        ask(fake, "DELETE", f"/runners/{one.id}")
        assert answered(fake, gitlab_hub.managing.ROUTES) == []
        assert project.path == REPO
