"""The stand-in of GitLab: runners, their jobs, traces and results, who may do what, and what it does as time passes."""

from __future__ import annotations

import threading
import zlib
from datetime import timedelta

import pytest
import requests

from qcity_nb.testing import FakeClock
from qcity_nb.testing.gitlab import FakeGitLab

PATH = "octo/app"
AT = "/projects/octo%2Fapp"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gitlab(clock):
    with FakeGitLab(now=clock.wall) as gitlab:
        gitlab.project(PATH)
        gitlab.rules.poll = 0.0
        yield gitlab


@pytest.fixture
def ask(gitlab):
    """Ask as a person with a token that may do everything."""
    token = gitlab.token()

    def ask(method, path, expect=None, token=token, **more):
        headers = {"PRIVATE-TOKEN": token} if token else {}
        reply = requests.request(method, gitlab.url + path, headers=headers | more.pop("headers", {}), timeout=5, **more)
        assert expect in {None, reply.status_code}, reply.text
        return reply

    return ask


@pytest.fixture
def work(gitlab, ask):
    """A runner of the project that asks for jobs: its token, and how to ask."""
    project = gitlab.state.projects[1]
    wanted = {"runner_type": "project_type", "project_id": project.id, "description": "one", "tag_list": "gpu,big"}
    made = ask("POST", "/user/runners", 201, json=wanted)
    assert made.json()["token"].startswith("glrt-")

    def request(expect, **more):
        body = {"token": made.json()["token"], "system_id": "s_1", "info": {"version": "19.4.0", "features": more.pop("features", {})}, **more}
        return ask("POST", "/jobs/request", expect, token="", json=body)

    request.token = made.json()["token"]
    return request


def patch(ask, job, start, body, end=None, expect=202):
    headers = {"JOB-TOKEN": job["token"], "Content-Range": f"{start}-{start + len(body) - 1 if end is None else end}", "Content-Type": "text/plain"}
    return ask("PATCH", f"/jobs/{job['id']}/trace", expect, token="", headers=headers, data=body)


def put(ask, job, expect=200, **more):
    return ask("PUT", f"/jobs/{job['id']}", expect, token="", json={"token": job["token"], **more})


def test_a_job_is_claimed_traced_and_done(gitlab, ask, work):
    other = gitlab.queue_job(PATH, tags=["windows"])
    number = gitlab.queue_job(PATH, script=["make", "make test"], tags=["gpu"])
    job = work(201).json()
    assert (job["id"], job["steps"][0]["script"], job["git_info"]["ref"]) == (number, ["make", "make test"], "main")
    assert ask("GET", f"{AT}/jobs/{number}", 200).json()["runner"]["description"] == "one"
    assert ask("GET", f"/runners/{gitlab.runner('one').id}", 200).json()["job_execution_status"] == "active"
    sent = patch(ask, job, 0, b"hello ")
    assert (sent.headers["Range"], sent.headers["Job-Status"], sent.headers["X-GitLab-Trace-Update-Interval"]) == ("0-6", "running", "3")
    assert patch(ask, job, 9, b"late", expect=416).headers["Range"] == "0-6"
    patch(ask, job, 6, b"world\n")
    output = {"checksum": f"crc32:{zlib.crc32(b'hello world' + bytes([10])):08x}", "bytesize": 12}
    put(ask, job, 412, state="success", output={**output, "bytesize": 11})
    put(ask, job, 412, state="success", output={**output, "checksum": "crc32:00000000"})
    put(ask, job, state="running")
    put(ask, job, state="success", output=output)
    assert put(ask, job, 403, state="success").headers["Job-Status"] == "success"
    assert ask("GET", f"{AT}/jobs/{number}/trace", 200).text == "hello world\n"
    assert [found["id"] for found in ask("GET", f"{AT}/jobs?scope[]=pending&scope[]=running", 200).json()] == [other]
    assert not gitlab.flags


def test_an_end_of_the_range_that_is_wrong_is_put_up_with_and_noted(gitlab, ask, work):
    gitlab.queue_job(PATH, tags=["gpu"])
    job = work(201).json()
    patch(ask, job, 0, b"hello", end=5)
    assert gitlab.flags == [f"job {job['id']}: Content-Range 0-5 for 5 bytes: its end is 1 off"]
    assert gitlab.job(job["id"]).trace == b"hello"


def test_no_job(gitlab, work, ask):
    """204 with the queue's value; paused: 204 too; a wrong token: 403; maintenance: 503."""
    value = work(204).headers["X-GitLab-Last-Update"]
    gitlab.queue_job(PATH, tags=["other"])
    assert work(204, last_update=value).headers["X-GitLab-Last-Update"] != value
    ask("PUT", f"/runners/{gitlab.runner('one').id}", 200, json={"paused": True})
    gitlab.queue_job(PATH, tags=["gpu"])
    work(204)
    ask("PUT", f"/runners/{gitlab.runner('one').id}", 200, json={"paused": False, "tag_list": ["gpu", "other"]})
    work(201)
    gitlab.rules.down_for_runners = True
    work(503)
    gitlab.rules.down_for_runners = False
    gitlab.reset_token("one")
    work(403)


def test_a_job_is_waited_for(gitlab, work):
    value, got = work(204).headers["X-GitLab-Last-Update"], []
    gitlab.rules.poll = 4
    waiting = threading.Thread(target=lambda: got.append(work(201, last_update=value).json()["id"]))
    waiting.start()
    number = gitlab.queue_job(PATH, tags=["gpu"])
    waiting.join(3)
    assert got == [number]


def test_finishing_may_take_a_while(gitlab, ask, work):
    gitlab.rules.completion_delays = 2
    gitlab.queue_job(PATH, tags=["gpu"])
    job = work(201).json()
    put(ask, job, 202, state="failed", failure_reason="script_failure", exit_code=3)
    put(ask, job, 202, state="failed", failure_reason="script_failure", exit_code=3)
    put(ask, job, 200, state="failed", failure_reason="script_failure", exit_code=3)
    assert (gitlab.job(job["id"]).failure_reason, gitlab.job(job["id"]).exit_code) == ("script_failure", 3)


def test_cancelling(gitlab, ask, work):
    """A runner that can is asked to; another one finds out by 403."""
    first, second = gitlab.queue_job(PATH, tags=["gpu"]), gitlab.queue_job(PATH, tags=["gpu"])
    job = work(201, features={"cancel_gracefully": True}).json()
    assert ask("POST", f"{AT}/jobs/{first}/cancel", 201).json()["status"] == "canceling"
    assert patch(ask, job, 0, b"x").headers["Job-Status"] == "canceling"
    put(ask, job, state="failed")
    assert gitlab.job(first).status == "canceled"
    job = work(201).json()
    ask("POST", f"{AT}/jobs/{second}/cancel", 201)
    assert patch(ask, job, 0, b"x", expect=403).headers["Job-Status"] == "canceled"


def test_artifacts(gitlab, ask, work):
    gitlab.queue_job(PATH, tags=["gpu"])
    job = work(201).json()
    headers = {"JOB-TOKEN": job["token"]}
    ask("GET", f"/jobs/{job['id']}/artifacts", 404, token="", headers=headers)
    content = bytes(range(256)) + b"\r\n--x\r\n"
    files = {"file": ("a.zip", content, "application/octet-stream")}
    ask("POST", f"/jobs/{job['id']}/artifacts", 201, token="", headers=headers, files=files, data={"artifact_type": "archive"})
    assert ask("GET", f"/jobs/{job['id']}/artifacts", 200, token="", headers=headers).content == content
    assert gitlab.job(job["id"]).archive == ("a.zip", content)


def test_online_lags(gitlab, ask, work, clock):
    """A contact is written down every 40 minutes at most, and is good for two hours: a dead runner looks online long after."""
    number = gitlab.runner("one").id

    def status():
        return ask("GET", f"/runners/{number}", 200).json()["status"]

    assert status() == "never_contacted"
    work(204)
    clock.advance(39 * 60)
    work(204)
    assert gitlab.runner("one").contacted == clock.wall() - timedelta(minutes=39)
    clock.advance(7200 - 39 * 60 - 1)
    assert status() == "online"
    clock.advance(1)
    assert status() == "offline"
    clock.advance(7 * 86400)
    assert status() == "stale"
    assert [one["system_id"] for one in ask("GET", f"/runners/{number}/managers", 200).json()] == ["s_1"]


def test_a_job_that_nobody_speaks_of_fails(gitlab, work, clock):
    number = gitlab.queue_job(PATH, tags=["gpu"])
    work(201)
    clock.advance(3600)
    assert (gitlab.job(number).status, gitlab.job(number).failure_reason) == ("failed", "stuck_or_timeout_failure")


def test_the_runners_own_token(gitlab, ask, work, clock):
    """It verifies, resets itself, ends."""
    token = work.token
    assert ask("POST", "/runners/verify", 200, token="", json={"token": token, "system_id": "s_2"}).json()["id"] == gitlab.runner("one").id
    ask("DELETE", "/runners/managers", 204, token="", json={"token": token, "system_id": "s_2"})
    gitlab.rules.token_life = timedelta(hours=4)
    fresh = ask("POST", "/runners/reset_authentication_token", 201, token="", json={"token": token}).json()
    ask("POST", "/runners/verify", 403, token="", json={"token": token})
    assert fresh["token_expires_at"] == "2026-01-05T12:00:00.000Z"
    clock.advance(4 * 3600 - 1)
    ask("POST", "/runners/verify", 200, token="", json={"token": fresh["token"]})
    clock.advance(1)
    ask("POST", "/runners/verify", 403, token="", json={"token": fresh["token"]})
    again = gitlab.reset_token("one")
    ask("DELETE", "/runners", 204, token="", data={"token": again})
    assert gitlab.runners() == []


def test_the_classic_registration_can_be_off(gitlab, ask):
    token = gitlab.state.projects[1].registration_token
    form = {"token": token, "description": "old", "tag_list": ["a", "b"], "run_untagged": False}
    ask("POST", "/runners", 201, token="", data=form)
    assert (gitlab.runner("old").tags, gitlab.runner("old").run_untagged) == (["a", "b"], False)
    ask("POST", "/runners", 403, token="", data={**form, "token": "wrong"})
    gitlab.rules.classic_registration = False
    ask("POST", "/runners", 410, token="", data=form)


def test_who_may_do_what(gitlab, ask):
    """401 unknown or old, 403 with the scopes that would do, 404 what the token does not see, 429 too often."""
    ask("GET", AT, 401, token="")
    ask("GET", AT, 401, token="wrong")
    old = gitlab.token()
    gitlab.expire(old)
    assert ask("GET", AT, 401, token=old).json()["error"] == "invalid_token"
    creator = gitlab.token(["create_runner"])
    assert ask("GET", AT, 403, token=creator).json()["scope"] == "api read_api"
    ask("POST", "/user/runners", 400, token=creator, json={"runner_type": "project_type"})
    ask("POST", "/user/runners", 403, token=gitlab.token(sees=["other"]), json={"runner_type": "project_type", "project_id": 1})
    ask("GET", AT, 404, token=gitlab.token(sees=["oct"]))
    ask("GET", "/projects/1", 200, token=gitlab.token(sees=["octo"]))
    busy = gitlab.token(limit=1)
    ask("GET", AT, 200, token=busy)
    assert ask("GET", AT, 429, token=busy).headers["Retry-After"] == "60"


def test_groups(gitlab, ask):
    """A group's runner works for the projects in it."""
    group = gitlab.group("octo")
    made = ask("POST", "/user/runners", 201, json={"runner_type": "group_type", "group_id": group.id}).json()
    gitlab.project("elsewhere/app")
    gitlab.queue_job("elsewhere/app")
    number = gitlab.queue_job(PATH)
    assert ask("POST", "/jobs/request", 201, token="", json={"token": made["token"]}).json()["id"] == number
    assert [one["id"] for one in ask("GET", "/groups/octo/runners", 200).json()] == [made["id"]]
    assert [one["path_with_namespace"] for one in ask("GET", f"/groups/{group.id}/projects", 200).json()] == [PATH]


def test_pages(gitlab, ask):
    for number in range(25):
        gitlab.add_runner(PATH, f"runner-{number}")
    first = ask("GET", f"{AT}/runners", 200)
    assert (len(first.json()), first.headers["X-Next-Page"], first.headers["X-Total"]) == (20, "2", "25")
    second = requests.get(first.links["next"]["url"], headers={"PRIVATE-TOKEN": gitlab.token()}, timeout=5)
    assert (len(second.json()), second.headers["X-Next-Page"]) == (5, "")
    assert "octo%2Fapp" in first.links["next"]["url"]
    ask("GET", f"{AT}/runners", 304, headers={"If-None-Match": first.headers["ETag"]})
