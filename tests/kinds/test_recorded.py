"""The client reads what GitHub itself has sent: recorded exchanges, and the replies of its own document, whole or with parts missing."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import requests

from qcity_nb.errors import PlatformError
from qcity_nb.kinds.forges.github import GitHub
from qcity_nb.model.agent import Package, Remote, Wanted

DATA = Path(__file__).parents[1] / "data" / "github"
RECORDED: list[dict[str, Any]] = json.loads((DATA / "recorded.json").read_text())
DOCUMENTED: dict[str, dict[str, Any]] = json.loads((DATA / "documented.json").read_text())
BASE = "https://api.github.com"
RUNNERS = "/repos/octo-org/octo-repo/actions/runners"


class Replay(requests.adapters.BaseAdapter):
    """Answers each request with what was recorded for it; what was not recorded was not to be asked."""

    def __init__(self, *exchanges: dict[str, Any]) -> None:
        super().__init__()
        self.exchanges, self.seen = exchanges, list[requests.PreparedRequest]()

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        self.seen.append(request)
        found = next((one for one in self.exchanges if one["method"].upper() == request.method and _same(one["path"], request.url)), None)
        assert found is not None, f"{request.method} {request.url} was never recorded"
        reply = requests.Response()
        reply.status_code, reply.url, reply.request = found["status"], request.url or "", request
        reply.headers.update(found.get("headers", {}))
        reply._content = json.dumps(found["response"]).encode() if found["response"] != "" else b""
        return reply

    def close(self) -> None:
        pass


def _same(path: str, url: str | None) -> bool:
    one, other = urlsplit(path), urlsplit(url or "")
    return one.path == other.path and set(parse_qsl(one.query)) <= set(parse_qsl(other.query))


def client(*exchanges: dict[str, Any]) -> tuple[GitHub, Replay]:
    forge = GitHub(Wanted(forge="github", url="", scope="octo-org/octo-repo", name="r"), "a-token")
    replay = Replay(*exchanges)
    forge.caller._session.mount("https://", replay)
    forge.caller._pause = lambda _: None
    return forge, replay


def scenario(name: str) -> list[dict[str, Any]]:
    return [one for one in RECORDED if one["scenario"] == name]


def documented(operation: str, method: str, path: str) -> dict[str, Any]:
    one = DOCUMENTED[operation]
    return {"method": method, "path": path, "status": one["status"], "response": copy.deepcopy(one["response"])}


class Issue(msgspec.Struct):
    number: int


class Repository(msgspec.Struct):
    full_name: str


def test_recorded_pages_are_followed_to_their_end() -> None:
    forge, replay = client(*scenario("paginate-issues"))
    pages = list(forge.caller.pages("/repos/octokit-fixture-org/paginate-issues/issues", list[Issue], per_page="3"))
    assert [issue.number for page in pages for issue in page] == list(range(13, 0, -1))
    assert {one.headers["Authorization"] for one in replay.seen} == {"Bearer a-token"}
    recorded_at = datetime(2017, 10, 10, 16, tzinfo=timezone.utc)
    assert forge.skew() is not None
    assert abs((datetime.now(timezone.utc) - forge.skew() - recorded_at).total_seconds()) < 60


def test_a_recorded_refusal_is_one_sentence() -> None:
    forge, _ = client(*scenario("errors"))
    with pytest.raises(PlatformError) as caught:
        forge.caller.send("POST", "/repos/octokit-fixture-org/errors/labels", Issue, {"name": "foo", "color": "invalid"})
    assert caught.value.kind == "invalid"
    assert "422" in str(caught.value)
    assert "Validation Failed: Label color invalid" in str(caught.value)
    assert "{" not in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_renamed_repository_is_followed_by_the_same_call(method: str) -> None:
    moved = scenario("rename-repository")[1:]
    forge, replay = client(*moved)
    path = "/repos/octokit-fixture-org/rename-repository"
    found = forge.caller.get(path, Repository) if method == "GET" else forge.caller.send(method, path, Repository, {"name": "x"})
    assert found.full_name.startswith("octokit-fixture-org/rename-repository")
    assert [(one.method, urlsplit(one.url or "").path) for one in replay.seen] == [(method, path), (method, "/repositories/1000")]
    assert all(one.body == replay.seen[0].body and "Authorization" in one.headers for one in replay.seen)


@pytest.mark.parametrize(
    ("status", "location"),
    [(301, f"{BASE}/repositories/1000"), (302, f"{BASE}/repositories/1000"), (307, "https://elsewhere.example/repositories/1000"), (307, "")],
)
def test_a_call_that_changes_something_is_not_sent_elsewhere(status: int, location: str) -> None:
    forge, replay = client({"method": "post", "path": "/a", "status": status, "headers": {"location": location}, "response": {}})
    with pytest.raises(PlatformError, match="has moved to"):
        forge.caller.send("POST", "/a", Repository, {})
    assert len(replay.seen) == 1


def runner_list() -> dict[str, Any]:
    return documented("actions/list-self-hosted-runners-for-repo", "get", RUNNERS)


def job_list() -> dict[str, Any]:
    return documented("actions/list-jobs-for-workflow-run", "get", "/repos/octo-org/octo-repo/actions/runs/30433642/jobs")


def run_list() -> dict[str, Any]:
    return documented("actions/list-workflow-runs-for-repo", "get", "/repos/octo-org/octo-repo/actions/runs")


def test_documented_runners() -> None:
    forge, _ = client(runner_list(), documented("actions/get-self-hosted-runner-for-repo", "get", f"{RUNNERS}/23"))
    linux, mac = forge.runners()
    assert linux == Remote(
        id=23, name="linux_runner", online=True, busy=True, labels=("self-hosted", "X64", "Linux"), os="linux", version="2.323.0", ephemeral=False
    )
    assert (mac.id, mac.online, mac.labels[-1]) == (24, False, "no-gpu")
    assert forge.find("mac_runner") == mac
    found = forge.runner(23)
    assert found is not None
    assert (found.id, found.name) == (23, "MBP")


def test_documented_registrations() -> None:
    jit = documented("actions/generate-runner-jitconfig-for-repo", "post", f"{RUNNERS}/generate-jitconfig")
    token = documented("actions/create-registration-token-for-repo", "post", f"{RUNNERS}/registration-token")
    forge, _ = client(jit, token)
    asked = Wanted(forge="github", url="", scope="octo-org/octo-repo", name="r", labels=("gpu",))
    given = forge.register(replace(asked, ephemeral=True))
    assert (given.jit, given.id, given.secret) == (True, 23, jit["response"]["encoded_jit_config"])
    plain = forge.register(replace(asked, ephemeral=False))
    assert (plain.jit, plain.secret) == (False, token["response"]["token"])
    assert plain.expires is not None
    assert plain.expires.tzinfo is not None


def test_documented_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    forge, _ = client(documented("actions/list-runner-applications-for-repo", "get", f"{RUNNERS}/downloads"))
    url = "https://github.com/actions/runner/releases/download/v2.164.0/actions-runner-linux-x64-2.164.0.tar.gz"
    assert forge.packages() == [Package(version="2.164.0", url=url, filename="actions-runner-linux-x64-2.164.0.tar.gz", sha256="")]


def test_documented_jobs() -> None:
    jobs = job_list()
    jobs["response"]["jobs"][0]["status"] = "queued"  # the example is of a job that is over
    forge, _ = client(run_list(), jobs)
    (job,) = forge.queued()
    assert (job.id, job.run, job.name, job.runner, job.attempt) == (399444496, 29679449, "build", "my runner", 1)
    assert job.labels == ("self-hosted", "foo", "bar")
    assert job.concluded_steps == 10
    assert job.failed_step == ""
    assert job.started == datetime(2020, 1, 20, 17, 42, 40, tzinfo=timezone.utc)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of every object in a reply."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(node, dict):
            yield (*path, key)
        yield from places(value, (*path, key))


def changed(node: Any, path: tuple[Any, ...], change: Any) -> Any:
    made = copy.deepcopy(node)
    at = made
    for key in path[:-1]:
        at = at[key]
    change(at, path[-1])
    return made


def unreadable(operation: str, path: str, read: Any, change: Any) -> set[Any]:
    """The keys of a documented reply whose change keeps it from being read."""
    whole = documented(operation, "get", path)
    found = set()
    for place in places(whole["response"]):
        forge, _ = client({**whole, "response": changed(whole["response"], place, change)}, *([] if "jobs" not in path else [run_list()]))
        try:
            read(forge)
        except PlatformError:
            found.add(tuple(key for key in place if not isinstance(key, int)))
    return found


def drop(at: Any, key: Any) -> None:
    del at[key]


def null(at: Any, key: Any) -> None:
    at[key] = None


def more(at: Any, key: Any) -> None:
    at[f"{key}_of_tomorrow"] = {"deep": [1, None, {"x": "y"}]}


NEEDED_OF_RUNNERS = {("runners",), *(("runners", key) for key in ("id", "name", "status")), ("runners", "labels", "name")}
NEEDED_OF_JOBS = {("jobs",), *(("jobs", key) for key in ("id", "run_id", "name", "status")), ("jobs", "steps", "name")}


@pytest.mark.parametrize(("change", "matters"), [(drop, True), (null, True), (more, False)])
def test_only_what_nothing_can_do_without_has_to_be_there(change: Any, matters: bool) -> None:
    """A key that is missing, null or new changes nothing but for those few."""
    runners = unreadable("actions/list-self-hosted-runners-for-repo", RUNNERS, lambda forge: forge.runners(), change)
    jobs = unreadable(
        "actions/list-jobs-for-workflow-run", "/repos/octo-org/octo-repo/actions/runs/30433642/jobs", lambda forge: forge.queued(), change
    )
    assert runners == (NEEDED_OF_RUNNERS if matters else set())
    assert jobs == (NEEDED_OF_JOBS if matters else set())


@pytest.mark.parametrize("text", [b"", b"<html>502 Bad Gateway</html>", b"[]", b'{"runners": 3}', b'{"runners": [{"id": "x"'])
def test_what_is_no_reply_at_all_is_a_sentence(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    forge, replay = client({**runner_list(), "response": ""})
    send = replay.send
    monkeypatch.setattr(replay, "send", lambda request, **more: _filled(send(request, **more), text))
    with pytest.raises(PlatformError, match="cannot be read") as caught:
        forge.runners()
    assert caught.value.kind == "garbled"


def _filled(reply: requests.Response, text: bytes) -> requests.Response:
    reply._content = text
    return reply
