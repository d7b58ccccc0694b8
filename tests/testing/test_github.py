"""The stand-in of GitHub: what it remembers, who may do what, and what it does as time passes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import timedelta

import pytest
import requests

from qcity_nb.testing import FakeClock
from qcity_nb.testing.github import Checksum, FakeGitHub

REPO = "octo/hello"
AT = f"/repos/{REPO}/actions"


class Client:
    """Asks with a token; `agent` asks for the listener."""

    def __init__(self, github, **token):
        self.github, self.session = github, requests.Session()
        self.session.headers["Authorization"] = f"Bearer {github.token(**token)}"

    def __call__(self, method, path, expect=None, **more):
        reply = self.session.request(method, self.github.url + path, **more)
        assert expect in {None, reply.status_code}, reply.text
        return reply

    def agent(self, method, path, **more):
        return requests.request(method, f"{self.github.root}/_agent/{path}", timeout=5, **more)

    def register(self, name="one", scope=f"/repos/{REPO}", **more):
        token = self("POST", f"{scope}/actions/runners/registration-token", 201).json()["token"]
        return self.agent("POST", "register", json={"token": token, "name": name, **more})

    def listener(self, name="one", **more):
        """Registered and connected: the agent, its session."""
        made = self.register(name, **more).json()
        return made, self.connect(made).json()["session"]

    def connect(self, made, **more):
        return self.agent("POST", "session", json={"agent_id": made["agent_id"], "credential": made["credential"], "version": "2.336.0", **more})


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def github(clock):
    with FakeGitHub(now=clock.wall) as github:
        github.repository(REPO)
        github.rules.poll = 0.0
        yield github


@pytest.fixture
def client(github):
    client = Client(github)
    with client.session:
        yield client


def test_who_may_do_what(github, client):
    """Unknown and old tokens: 401. What a token cannot see: 404. What it may not do: 403, and the permission that it takes."""
    path = f"{github.url}{AT}/runners"
    assert requests.get(path).status_code == 401
    assert requests.get(path, headers={"Authorization": "Bearer wrong"}).json()["message"] == "Bad credentials"
    old = github.token()
    github.expire(old)
    assert requests.get(path, headers={"Authorization": f"token {old}"}).status_code == 401
    Client(github, sees=["octo/other"])("GET", f"{AT}/runners", 404)
    client("GET", "/repos/octo/nothing/actions/runners", 404)
    reader = Client(github, permissions={"administration": "read"}, sees=[REPO.upper()])
    reader("GET", f"{AT}/runners", 200)
    assert reader("POST", f"{AT}/runners/remove-token", 403).headers["X-Accepted-GitHub-Permissions"] == "administration=write"
    assert reader("GET", f"{AT}/runs", 403).headers["X-Accepted-GitHub-Permissions"] == "actions=read"


def test_the_rate_limit_counts_but_what_did_not_change_is_free(github, clock):
    client = Client(github, limit=3)
    first = client("GET", f"{AT}/runners")
    for _ in range(5):
        again = client("GET", f"{AT}/runners", 304, headers={"If-None-Match": first.headers["ETag"]})
    assert again.headers["x-ratelimit-remaining"] == "2"
    github.add_runner(REPO, "new")
    client("GET", f"{AT}/runners", 200, headers={"If-None-Match": first.headers["ETag"]})
    client("GET", f"{AT}/runners", 200)
    refused = client("GET", f"{AT}/runners", 403)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert client("GET", "/rate_limit", 200).json()["rate"]["remaining"] == 0
    clock.advance(int(refused.headers["x-ratelimit-reset"]) - clock.wall().timestamp())
    client("GET", f"{AT}/runners", 200)


def test_a_runner_registers_works_and_goes(github, client, clock):
    """Online while it is heard, busy while it has a job, not deleted before that is over."""
    made, session = client.listener(labels=["gpu"])
    assert client.register().status_code == 409
    assert client.agent("GET", "message", params={"session": session}).status_code == 204
    mine = client("GET", f"{AT}/runners?name=one", 200).json()["runners"][0]
    assert (mine["status"], mine["busy"], mine["version"], [label["name"] for label in mine["labels"]][-1]) == ("online", False, "2.336.0", "gpu")
    other = github.queue_job(REPO, labels=["self-hosted", "windows"])
    job = github.queue_job(REPO, labels=["Self-Hosted", "GPU"], payload={"seconds": 3})
    got = client.agent("GET", "message", params={"session": session}).json()
    assert (got["type"], got["body"]["id"], got["body"]["payload"]) == ("RunnerJobRequest", job, {"seconds": 3})
    client("DELETE", f"{AT}/runners/{mine['id']}", 422)
    assert client("GET", f"{AT}/jobs/{job}").json()["runner_name"] == "one"
    report = {"steps": [{"name": "build", "conclusion": "success"}], "log": "done\n", "conclusion": "success"}
    assert client.agent("POST", f"job/{job}", params={"session": session}, json=report).json() == {"status": "completed"}
    assert client.agent("POST", f"job/{job}", params={"session": session}, json={}).json()["code"] == "job_gone"
    assert (github.job(job).conclusion, github.job(other).status) == ("success", "queued")
    clock.advance(61)
    assert not github.online(REPO, "one")
    client("DELETE", f"{AT}/runners/{mine['id']}", 204)
    assert client.agent("GET", "message", params={"session": session}).json()["code"] == "runner_deleted"
    assert client.connect(made).json()["code"] == "runner_deleted"


def test_sessions(github, client, clock):
    """One at a time; old agents and wrong clocks are refused."""
    made, session = client.listener()
    assert client.connect(made).status_code == 409
    clock.advance(60)
    second = client.connect(made).json()["session"]
    assert client.agent("GET", "message", params={"session": session}).status_code == 404
    assert client.agent("DELETE", "session", params={"session": second}).status_code == 204
    assert not github.online(REPO, "one")
    skewed = (clock.wall() + timedelta(minutes=10)).isoformat()
    assert client.connect(made, time=skewed).json()["code"] == "clock_skew"
    github.minimum_version = "2.400.0"
    assert client.connect(made).json()["code"] == "version_deprecated"
    github.minimum_version = ""
    assert client.connect({**made, "credential": "stolen"}).status_code == 401
    github.push(REPO, "one", "AgentRefresh", {"target_version": "2.400.0"})
    third = client.connect(made).json()["session"]
    assert client.agent("GET", "message", params={"session": third}).json()["type"] == "AgentRefresh"
    github.end_session(REPO, "one")
    assert client.agent("GET", "message", params={"session": third}).status_code == 404


def test_a_message_is_waited_for(github, client):
    _, session = client.listener()
    got = []
    waiting = threading.Thread(target=lambda: got.append(client.agent("GET", "message", params={"session": session, "wait": 5}).json()))
    waiting.start()
    job = github.queue_job(REPO)
    waiting.join(4)
    assert got[0]["body"]["id"] == job


def test_registration_tokens_live_an_hour(client, clock):
    token = client("POST", f"{AT}/runners/registration-token", 201).json()["token"]
    clock.advance(3600)
    assert client.agent("POST", "register", json={"token": token, "name": "late"}).status_code == 404
    made = client.register("one").json()
    remove = client("POST", f"{AT}/runners/remove-token", 201).json()["token"]
    assert client.agent("POST", "register", json={"token": remove, "name": "x"}).status_code == 404
    assert client.agent("DELETE", "register", json={"token": remove, "agent_id": made["agent_id"]}).status_code == 204
    assert client.agent("DELETE", "register", json={"token": remove, "agent_id": made["agent_id"]}).status_code == 404


def test_a_jit_runner_works_once(github, client, clock):
    """Its name is taken until the service forgets it, a little after its job (F28)."""
    github.rules.deregister_lag = timedelta(seconds=5)
    body = {"name": "once", "runner_group_id": 1, "labels": ["self-hosted", "x"]}
    jit = client("POST", f"{AT}/runners/generate-jitconfig", 201, json=body).json()
    client("POST", f"{AT}/runners/generate-jitconfig", 409, json=body)
    client("POST", f"{AT}/runners/generate-jitconfig", 404, json={**body, "runner_group_id": 7})
    files = json.loads(base64.b64decode(jit["encoded_jit_config"]))
    assert json.loads(base64.b64decode(files[".runner"]))["AgentName"] == "once"
    made = client.agent("POST", "register", json={"jit": files}).json()
    assert made == client.agent("POST", "register", json={"jit": jit["encoded_jit_config"]}).json()
    session, job = client.connect(made).json()["session"], github.queue_job(REPO)
    client.agent("GET", "message", params={"session": session})
    client.agent("POST", f"job/{job}", params={"session": session}, json={"conclusion": "failure"})
    github.queue_job(REPO)
    assert client.agent("GET", "message", params={"session": session}).status_code == 204
    client("POST", f"{AT}/runners/generate-jitconfig", 409, json=body)
    clock.advance(5)
    assert github.runners(REPO) == []
    client("POST", f"{AT}/runners/generate-jitconfig", 201, json=body)


def test_runners_that_nobody_sees_are_forgotten(github, clock):
    github.add_runner(REPO, "persistent", online=True)
    github.add_runner(REPO, "ephemeral", ephemeral=True)
    clock.advance(86400)
    assert [one.name for one in github.runners(REPO)] == ["persistent"]
    clock.advance(13 * 86400 - 1)
    assert len(github.runners(REPO)) == 1
    clock.advance(1)
    assert github.runners(REPO) == []


def test_a_job_that_is_not_renewed_is_lost(github, client, clock):
    """Ten minutes after the last renewal, with a step that never came to an end (F34)."""
    _, session = client.listener()
    job = github.queue_job(REPO)
    client.agent("GET", "message", params={"session": session})
    client.agent("POST", f"job/{job}", params={"session": session}, json={"steps": [{"name": "build"}]})
    for _ in range(3):
        clock.advance(9 * 60)
        assert client.agent("POST", f"job/{job}/renew", params={"session": session}).status_code == 200
    clock.advance(600)
    lost = client("GET", f"{AT}/jobs/{job}", 200).json()
    assert (lost["conclusion"], lost["steps"][0]["conclusion"], github.runner(REPO, "one").busy) == ("failure", None, False)
    assert "lost communication" in github.job(job).log


def test_cancelling(github, client):
    """A queued job ends at once; a running one is asked to, by force it ends."""
    _, session = client.listener()
    job = github.queue_job(REPO)
    run = github.job(job).run
    queued = github.queue_job(REPO, run=run, labels=["none"], name="other")
    client.agent("GET", "message", params={"session": session})
    client("POST", f"{AT}/runs/{run}/cancel", 202)
    assert (github.job(queued).conclusion, github.job(job).status) == ("cancelled", "in_progress")
    assert client.agent("POST", f"job/{job}/renew", params={"session": session}).json()["cancel"]
    assert client.agent("GET", "message", params={"session": session}).json() == {"type": "JobCancellation", "body": {"job_id": job}}
    client("POST", f"{AT}/runs/{run}/force-cancel", 202)
    assert github.job(job).conclusion == "cancelled"
    client("POST", f"{AT}/runs/{run}/cancel", 409)


def test_running_again(github, client):
    """The failed ones, one, all: attempts count, the list has the newest of each name."""
    first = github.queue_job(REPO, name="a")
    run = github.job(first).run
    second = github.queue_job(REPO, name="b", run=run)
    client("POST", f"{AT}/runs/{run}/rerun-failed-jobs", 403)
    github.finish_job(first, "failure")
    github.finish_job(second)
    client("POST", f"{AT}/runs/{run}/rerun-failed-jobs", 201, json={"enable_debug_logging": True})
    listed = client("GET", f"{AT}/runs/{run}/jobs", 200).json()["jobs"]
    assert sorted((job["name"], job["status"], job["run_attempt"]) for job in listed) == [("a", "queued", 2), ("b", "completed", 1)]
    assert client("GET", f"{AT}/runs/{run}/attempts/2/jobs", 200).json()["total_count"] == 1
    assert [found["id"] for found in client("GET", f"{AT}/runs?status=queued", 200).json()["workflow_runs"]] == [run]
    github.finish_job(github.jobs(REPO)[-1].id)
    client("POST", f"{AT}/jobs/{second}/rerun", 201)
    github.finish_job(github.jobs(REPO)[-1].id)
    client("POST", f"{AT}/runs/{run}/rerun", 201)
    assert github.run(run).attempt == 4


def test_logs_are_elsewhere_for_a_minute(github, client, clock):
    """And credentials sent there are refused."""
    job = github.queue_job(REPO)
    client("GET", f"{AT}/jobs/{job}/logs", 404)
    github.job(job).log = "hello\n"
    github.finish_job(job)
    link = client("GET", f"{AT}/jobs/{job}/logs", 302, allow_redirects=False).headers["Location"]
    assert "localhost" in link
    assert requests.get(link).text == "hello\n"
    assert client.session.get(link).status_code == 400
    assert client("GET", f"{AT}/jobs/{job}/logs", 200).text == "hello\n"  # requests drops them on its way to another host
    clock.advance(60)
    assert requests.get(link).status_code == 403


@pytest.mark.parametrize("checksum", list(Checksum))
def test_archives(github, client, checksum):
    name = github.offer(b"archive", version="2.400.0", checksum=checksum)
    offer = client("GET", f"{AT}/runners/downloads", 200).json()[0]
    assert offer["filename"] == name == "actions-runner-linux-x64-2.400.0.tar.gz"
    true = hashlib.sha256(requests.get(offer["download_url"]).content).hexdigest()
    assert {Checksum.RIGHT: true, Checksum.WRONG: "0" * 64, Checksum.MISSING: None}[checksum] == offer.get("sha256_checksum")


def test_labels(github, client):
    runner = github.add_runner(REPO, "one", labels=["self-hosted", "Linux", "a", "b"])
    at = f"{AT}/runners/{runner.id}/labels"
    for method, path, sent, expected in [
        ("POST", "", ["c", "a"], ["self-hosted", "Linux", "a", "b", "c"]),
        ("DELETE", "/b", None, ["self-hosted", "Linux", "a", "c"]),
        ("PUT", "", ["d"], ["self-hosted", "Linux", "d"]),
        ("DELETE", "", None, ["self-hosted", "Linux"]),
    ]:
        shown = client(method, at + path, 200, json=None if sent is None else {"labels": sent}).json()["labels"]
        assert [label["name"] for label in shown] == runner.labels == expected
    client("DELETE", at + "/Linux", 422)
    client("DELETE", at + "/nothing", 404)


def test_an_organisation_on_enterprise(clock):
    """Under /api/v3; its runners take jobs of its repositories."""
    with FakeGitHub(now=clock.wall, base="/api/v3") as github:
        github.organisation("acme", groups=["gpu"])
        github.repository("acme/app")
        client = Client(github, permissions={"organization_self_hosted_runners": "write"})
        groups = client("GET", "/orgs/acme/actions/runner-groups", 200).json()["runner_groups"]
        assert [(group["id"], group["name"]) for group in groups] == [(1, "Default"), (2, "gpu")]
        body = {"name": "org", "runner_group_id": 2, "labels": ["self-hosted"]}
        client("POST", "/orgs/acme/actions/runners/generate-jitconfig", 201, json=body)
        _, session = client.listener(scope="/orgs/acme")
        job = github.queue_job("acme/app")
        assert client.agent("GET", "message", params={"session": session}).json()["body"]["id"] == job
        assert [one["busy"] for one in client("GET", "/orgs/acme/actions/runners", 200).json()["runners"]] == [False, True]
        links = client("GET", "/orgs/acme/actions/runners?per_page=1", 200).links
        assert links["next"]["url"].startswith(github.root + "/api/v3/orgs/acme/")


def test_files_branches_and_pull_requests(github, client):
    at = f"/repos/{REPO}"
    sha = client("GET", f"{at}/git/ref/heads/main", 200).json()["object"]["sha"]
    made = {"ref": "refs/heads/fix/it", "sha": sha}
    client("POST", f"{at}/git/refs", 201, json=made)
    client("POST", f"{at}/git/refs", 422, json=made)
    read = client("GET", f"{at}/contents/README.md?ref=fix/it", 200).json()
    text = base64.b64encode(b"# better\n").decode()
    change = {"message": "fix", "content": text, "branch": "fix/it"}
    client("PUT", f"{at}/contents/README.md", 422, json=change)
    client("PUT", f"{at}/contents/README.md", 409, json={**change, "sha": "0" * 40})
    client("PUT", f"{at}/contents/README.md", 200, json={**change, "sha": read["sha"]})
    client("PUT", f"{at}/contents/docs/new.md", 201, json=change)
    assert github.repo(REPO).trees == {"main": {"README.md": b"# hello\n"}, "fix/it": {"README.md": b"# better\n", "docs/new.md": b"# better\n"}}
    assert client("GET", f"{at}/git/ref/heads/fix/it", 200).json()["object"]["sha"] != sha
    asked = {"title": "Fix", "head": "fix/it", "base": "main", "body": "why"}
    number = client("POST", f"{at}/pulls", 201, json=asked).json()["number"]
    client("POST", f"{at}/pulls", 422, json=asked)
    client("POST", f"{at}/issues/{number}/comments", 201, json={"body": "proved"})
    client("PATCH", f"{at}/pulls/{number}", 200, json={"state": "closed"})
    assert client("GET", f"{at}/pulls", 200).json() == []
    assert client("GET", f"{at}/pulls?state=all&head=octo:fix/it", 200).json()[0]["state"] == "closed"


def test_a_job_whose_offer_was_lost_is_offered_to_the_next_session(github, client):
    """But one that was begun is not."""
    made, session = client.listener()
    job = github.queue_job(REPO)
    assert client.agent("GET", "message", params={"session": session}).json()["body"]["id"] == job
    assert client.agent("GET", "message", params={"session": session}).status_code == 204
    github.end_session(REPO, "one")
    session = client.connect(made).json()["session"]
    assert client.agent("GET", "message", params={"session": session}).json()["body"]["id"] == job
    client.agent("POST", f"job/{job}/renew", params={"session": session})
    github.end_session(REPO, "one")
    session = client.connect(made).json()["session"]
    assert client.agent("GET", "message", params={"session": session}).status_code == 204


def test_a_listener_that_died_while_it_waited_gets_nothing(github, client):
    _, session = client.listener()
    with pytest.raises(requests.Timeout):
        requests.get(f"{github.root}/_agent/message", params={"session": session, "wait": 20}, timeout=0.1)
    job = github.queue_job(REPO)
    assert github.job(job).status == "queued"
    assert client.agent("GET", "message", params={"session": session}).json()["body"]["id"] == job
