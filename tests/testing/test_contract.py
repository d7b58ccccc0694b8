"""What is asked of the stand-in of GitHub, and what it answers, is held against GitHub's own description: planted mistakes are found."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import requests

from qcity_nb.testing.github import FakeGitHub, hub, shapes
from qcity_nb.testing.openapi import contract, prune

REPO = "octo/hello"


def ask(github, method, path, **more):
    headers = {"Authorization": f"Bearer {github.token()}"}
    return requests.request(method, github.url + path, headers=headers, timeout=5, **more)


@pytest.fixture
def github():
    with FakeGitHub(lenient=True) as github:
        github.repository(REPO)
        github.add_runner(REPO, "one")
        yield github


@pytest.mark.parametrize(
    ("method", "path", "sent", "said"),
    [
        ("GET", "actions/runners?per_page=many", None, "per_page"),
        ("POST", "actions/runners/generate-jitconfig", {"name": "x"}, "runner_group_id"),
        ("POST", "actions/runners/generate-jitconfig", {"name": "x", "runner_group_id": 1, "labels": []}, "labels"),
        ("POST", "actions/runners/generate-jitconfig", {"name": 7, "runner_group_id": 1, "labels": ["a"]}, "name"),
        ("POST", "actions/runners/generate-jitconfig", None, "body"),
        ("GET", "actions/jobs/seven", None, "job_id"),
        ("GET", "actions/runs?status=asleep", None, "status"),
        ("PUT", "contents/docs/a.md", {"content": "eA==", "branch": 5}, "branch"),
        ("PATCH", "pulls/1", {"state": "merged"}, "state"),
    ],
)
def test_a_request_that_github_would_not_take_is_refused_and_noted(github, method, path, sent, said):
    reply = ask(github, method, f"/repos/{REPO}/{path}", json=sent)
    assert reply.status_code == 422
    assert len(github.violations) == 1
    assert said in github.violations[0].partition(": ")[2]


def test_an_address_that_is_not_there_is_noted(github):
    assert ask(github, "GET", f"/repos/{REPO}/actions/runner").status_code == 404
    assert ask(github, "PATCH", f"/repos/{REPO}/actions/runners").status_code == 404
    assert len(github.violations) == 2


@pytest.mark.parametrize("planted", [{"id": "one"}, {"busy": None}, {"labels": [{"type": "odd", "name": "x"}]}, {"status": None}])
def test_a_reply_that_github_would_not_give_is_noted(github, monkeypatch, planted):
    right = shapes.runner
    # the shapes are the stand-in's own, there is no constructor that takes wrong ones
    monkeypatch.setattr(shapes, "runner", lambda state, one: right(state, one) | planted)
    assert ask(github, "GET", f"/repos/{REPO}/actions/runners").status_code == 200
    assert len(github.violations) == 1
    assert f"runners/0/{next(iter(planted))}" in github.violations[0]


def test_leaving_with_violations_raises_unless_told_otherwise():
    with pytest.raises(contract.ContractBroken, match="per_page"), FakeGitHub() as github:
        github.repository(REPO)
        ask(github, "GET", f"/repos/{REPO}/actions/runners?per_page=many")
    with FakeGitHub(validate=False) as unchecked:
        assert ask(unchecked, "GET", "/nowhere").status_code == 404
    assert not unchecked.violations


def test_a_fault_is_no_violation(github):
    from qcity_nb.testing import faults

    github.fault(faults.malformed())
    ask(github, "GET", f"/repos/{REPO}/actions/runners")
    github.fault(faults.status(500))
    ask(github, "GET", f"/repos/{REPO}/actions/runners")
    assert not github.violations


def test_every_address_is_in_githubs_document():
    """And nothing else is in our copy of it."""
    assert {path: set(item) & set(prune.METHODS) for path, item in contract.document()["paths"].items()} == prune.wanted()
    assert sum(not route.open for route in hub.ROUTES) >= 45


def test_pruning_keeps_what_it_refers_to_and_fails_on_what_is_gone():
    document = contract.document()
    again = prune.prune(document, prune.wanted())
    assert json.loads(json.dumps(again)) == document
    for reference in prune.references(document):
        _, _, family, name = reference.split("/")
        assert name in document["components"][family]
    with pytest.raises(KeyError):
        prune.prune(document, {"/nowhere": {"get"}})


def test_importing_the_stand_ins_loads_no_checker():
    program = "import sys, qcity_nb.testing.github; print(sorted({'openapi_core', 'requests', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "[]\n"
