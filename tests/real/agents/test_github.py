"""Runners of GitHub from end to end: the real engine and attendant, the scripted listener as the official agent, a stateful stand-in of GitHub."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import jsonschema
import pytest

from qcity_nb.client import agents, shapes
from qcity_nb.errors import BadInput, NotFound, QCityError
from qcity_nb.model.service import Phase
from qcity_nb.testing.agents import package
from qcity_nb.testing.github import Checksum
from qcity_nb.testing.real_engine import alive, until

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"


def test_an_ephemeral_runner_does_its_job_and_comes_back_without_an_incident(scene):
    runner = scene.start()
    first = runner.row.state.incarnation
    scene.done(scene.job())
    scene.up(after=first)
    assert len(scene.city.incidents) == 0
    assert len(scene.github.runners(REPO)) == 1, "the registration of the last life is gone, that of this one is there"
    assert scene.github.violations == []


def test_a_killed_listener_is_running_again_and_the_incident_tells_it(scene):
    runner = scene.start()
    os.kill(runner.pid, signal.SIGKILL)
    scene.up(after=1)
    told = scene.incident("F12")
    assert "signal 9" in told
    assert "its platform shows it online" in told


def test_the_token_is_nowhere_but_in_its_file(scene):
    token = os.environ["QCITY_GITHUB_TOKEN"]
    runner = scene.start()
    assert token not in Path(f"/proc/{runner.pid}/environ").read_bytes().decode("utf-8", "replace")
    scene.done(scene.job(payload={"script": "env"}))
    home = scene.city.home
    holders = [path for path in home.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert [path.parent.name for path in holders] == ["secrets"]
    assert holders[0].stat().st_mode & 0o077 == 0
    assert not any(token in line for line in scene.said)
    with pytest.raises(BadInput, match="only the name of one"):
        scene.start("gh-2", token=token)


def test_a_stop_has_the_platform_forget_it_first(scene):
    runner = scene.start()
    runner.stop()
    assert scene.github.runners(REPO) == []
    deleted = [one for one in scene.github.log if one.method == "DELETE" and one.status == 204]
    assert deleted


@pytest.mark.timeout(300)
def test_a_claimed_runner_is_registered_with_its_epoch_and_nothing_is_done_to_its_platform_past_its_fence(scene, tmp_path):
    """The lease store goes away for good: the listener ends, its registration is left to whoever holds the claim next."""
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "leases.git"], check=True)
    scene.city.fleet.join(f"git:{tmp_path}/leases.git", term=20)
    runner = scene.start(ephemeral=False, claim=True)
    (registered,) = [one.name for one in scene.github.runners(REPO)]
    assert registered == "gh-1-e1"
    pid = runner.pid
    (tmp_path / "leases.git").rename(tmp_path / "away.git")
    until(lambda: scene.state().phase is Phase.STOPPED and scene.state().standby, seconds=60)
    assert not alive(pid)
    with pytest.raises(QCityError, match="does not hold gh-1 now"):
        agents.set_labels(scene.city, "gh-1", ["gpu"])
    assert [one.name for one in scene.github.runners(REPO)] == ["gh-1-e1"]
    (tmp_path / "away.git").rename(tmp_path / "leases.git")
    until(lambda: [one.name for one in scene.github.runners(REPO)] == ["gh-1-e2"], seconds=90)
    scene.up(after=1)


def test_a_drained_runner_finishes_its_job_and_takes_no_other(scene):
    runner = scene.start(ephemeral=False, labels=["self-hosted", "gpu"])
    job = scene.job(payload={"script": "sleep 2"}, labels=["self-hosted", "gpu"])
    until(lambda: scene.github.job(job).status == "in_progress")
    until(lambda: scene.state().busy == 1)
    runner.drain()
    later = scene.job(labels=["self-hosted", "gpu"])
    scene.done(job)
    until(lambda: scene.state().phase is Phase.STOPPED)
    assert scene.github.job(later).status == "queued"


@pytest.mark.parametrize("code", ["F1", "F3", "F4"])
def test_a_zombie_is_found_by_two_proofs_restarted_and_does_the_job(scene, code):
    fault = {"F1": {"fault": "silent", "socket": "close"}, "F3": {"fault": "unpolled"}, "F4": {"fault": "broker_loop"}}[code]
    scene.faults({**fault, "times": 1, "after": 1 if code == "F1" else 0})
    scene.start(ephemeral=False)
    if code == "F3":
        scene.done(scene.job())
    if code == "F1":  # else it may have waited for long enough to be F3 before its platform misses it: both are true
        until(lambda: not scene.github.online(REPO, "gh-1"), seconds=60)
    job = scene.job()
    told = scene.incident(code)
    assert "Proof:" in told
    scene.done(job)


def test_a_registration_that_was_deleted_is_made_again_with_proof(scene):
    scene.start(ephemeral=False)
    old = scene.github.runner(REPO, "gh-1").id
    scene.github.delete_runner(REPO, "gh-1")
    told = scene.incident("F6")
    assert "its platform has deleted the registration" in told
    assert [one.id for one in scene.github.runners(REPO)] not in ([], [old])


def test_a_session_that_is_taken_is_waited_for(scene):
    scene.start(ephemeral=False)
    scene.faults({"fault": "session_conflict", "times": 8})
    os.kill(scene.city.runners["gh-1"].pid, signal.SIGKILL)
    assert "old session" in scene.incident("F5", seconds=90)


def test_a_refused_version_is_replaced_by_the_one_that_is_served(scene):
    runner = scene.start(ephemeral=False)
    runner.stop()
    scene.github.offer(package.archive("2.340.0"), version="2.340.0")
    scene.github.minimum_version = "2.340.0"
    with contextlib.suppress(QCityError):  # the first try is refused, which is the point
        scene.start(ephemeral=False)
    assert "installed version 2.340.0" in scene.incident("F10")


def test_a_job_that_the_infrastructure_killed_runs_again_once(scene):
    scene.github.rules.lock_life = scene.github.rules.lock_life / 300
    scene.start()
    job = scene.job(payload={"script": "sleep 8"}, name="long")
    until(lambda: scene.github.job(job).status == "in_progress")
    until(lambda: scene.state().busy == 1)
    os.kill(scene.city.runners["gh-1"].pid, signal.SIGKILL)
    told = scene.incident("F34", seconds=60)
    assert 'had "long" run again, once' in told
    until(lambda: all(one.status == "completed" for one in scene.github.jobs(REPO)), seconds=40)


def test_orphans_of_a_job_are_ended(scene):
    scene.faults({"fault": "leave_orphans", "times": 1})
    scene.start(ephemeral=False)
    scene.done(scene.job())
    assert "ended" in scene.incident("F17")


def test_a_token_that_expires_stops_nothing_and_names_what_to_do(scene):
    runner = scene.start(ephemeral=False)
    pid = runner.pid
    scene.github.expire(os.environ["QCITY_GITHUB_TOKEN"])
    until(lambda: "F22" in scene.city.runners["gh-1"].row.trouble, seconds=40)
    assert scene.city.runners["gh-1"].pid == pid
    scene.done(scene.job())


def test_github_down_for_an_hour_stops_nothing(scene):
    runner = scene.start(ephemeral=False)
    pid = runner.pid
    scene.github.down()
    until(lambda: "cannot be reached" in scene.city.runners["gh-1"].view().condition.text, seconds=40)
    asked = len(scene.github.log)
    scene.github.up()
    until(lambda: "cannot be reached" not in scene.city.runners["gh-1"].view().condition.text, seconds=40)
    assert scene.city.runners["gh-1"].pid == pid
    assert len(scene.github.log) - asked < 200
    scene.done(scene.job())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda github: github.offer(package.archive(), checksum=Checksum.WRONG), "is not what GitHub says it is"),
        (lambda github: github.offer(package.archive(), checksum=Checksum.MISSING), "gives no checksum"),
        (lambda github: github.offer(package.archive(evil=package.Evil.PARENT)), "leads outside its folder"),
        (lambda github: github.offer(package.archive(evil=package.Evil.LINK)), "leads outside its folder"),
        (lambda github: github.offer(package.archive(evil=package.Evil.TRUNCATED)), "is damaged"),
    ],
    ids=["wrong checksum", "no checksum", "a member outside", "a link outside", "truncated"],
)
def test_a_package_that_is_not_right_is_refused_in_a_sentence(scene, spoil, words):
    spoil(scene.github)
    with pytest.raises(QCityError) as caught:
        scene.start()
    assert words in str(caught.value)
    assert not (scene.city.home / "evil").exists()


def test_an_unknown_repository_is_a_sentence_and_asks_a_person(scene):
    with pytest.raises(QCityError, match="knows nothing there"):
        scene.city.runners.start("github", "gh-1", repo="octo/nme", url=scene.github.root, allow_root=os.geteuid() == 0)
    assert scene.state().phase is Phase.QUARANTINED


def test_no_token_anywhere_is_a_sentence(scene, monkeypatch):
    for name in ("QCITY_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFound, match="there is no token for"):
        scene.start()


def test_a_plan_tells_and_apply_does_only_that(scene):
    scene.start(ephemeral=False, labels=["self-hosted", "gpu"])
    found = agents.plan(scene.city)
    check("plan", shapes.plan(found))
    assert found.ok, repr(found)
    scene.github.runner(REPO, "gh-1").labels[:] = [label for label in scene.github.runner(REPO, "gh-1").labels if label != "gpu"]
    drift = agents.plan(scene.city)
    assert [line.what for line in drift.lines if line.match == "DRIFT"] == ["labels"]
    assert agents.apply(scene.city, drift) == ["gh-1: has the labels self-hosted, gpu now."]
    assert agents.plan(scene.city).ok
    owned = next(label for label in scene.github.runner(REPO, "gh-1").labels if label.startswith("qcity-"))
    scene.github.repository(f"{REPO}-more")  # a name that another one begins with
    scene.ask("gh-2", repo=f"{REPO}-more", ephemeral=False)
    scene.up("gh-2")
    old = scene.github.add_runner(f"{REPO}-more", "old", labels=["self-hosted", owned])
    assert agents.apply(scene.city, agents.plan(scene.city)) == [f"old: its registration {old.id} was deleted."]
    assert [len(scene.github.runners(scope)) for scope in (REPO, f"{REPO}-more")] == [1, 1]
    scene.github.expire(os.environ["QCITY_GITHUB_TOKEN"])
    blocked = agents.plan(scene.city)
    assert {line.match for line in blocked.lines} == {"BLOCKED"}


def test_agents_of_others_are_found_watched_and_left_alone(scene, tmp_path):
    root = tmp_path / "theirs"
    root.mkdir()
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(package.archive())
    subprocess.run(["tar", "xzf", str(archive), "-C", str(root)], check=True)
    token = scene.github.state
    given = {"ACTIONS_RUNNER_INPUT_TOKEN": _registration_token(scene, token)}
    configure = ["bin/Runner.Listener", "configure", "--unattended", "--url", f"{scene.github.root}/{REPO}", "--name", "theirs", "--work", "_work"]
    subprocess.run([str(root / configure[0]), *configure[1:]], cwd=root, env={**os.environ, **given}, check=True, capture_output=True)
    process = subprocess.Popen([str(root / "bin/Runner.Listener"), "run"], cwd=root, stdout=subprocess.DEVNULL)
    try:
        found = until(lambda: [one for one in agents.discover(scene.city) if one["pid"] == process.pid])
        check("agents", shapes.agents(found))
        assert found[0]["name"] == "theirs"
        until(lambda: "theirs" in scene.city.runners and scene.state("theirs").phase is Phase.RUNNING)
        with pytest.raises(QCityError, match="somebody else"):
            scene.city.runners["theirs"].stop()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _registration_token(scene, _state) -> str:
    import requests

    url = f"{scene.github.url}/repos/{REPO}/actions/runners/registration-token"
    return requests.post(url, headers={"Authorization": f"Bearer {os.environ['QCITY_GITHUB_TOKEN']}"}, timeout=10).json()["token"]


def check(name, document):
    jsonschema.Draft202012Validator({**shapes.schema(), "$ref": f"#/$defs/{name}"}).validate(document)




def test_a_canary_that_fails_twice_drains_the_runner_which_takes_jobs_again_when_it_passes(scene):
    runner = scene.start(ephemeral=False, canary=30)
    sung = lambda: [look for look in runner.checks() if look.what == "canary"]  # noqa: E731
    until(lambda: [look.ok for look in sung()][:1] == [True])
    (runner.folder / "agent" / "_work" / "_tool" / ".qcity-canary").mkdir(parents=True)
    told = scene.incident("F41")
    assert any("cache: Is a directory" in line for row in scene.city.incidents.rows() for line in row.evidence)
    assert "its canary passes now, before any job" in told
    until(lambda: sung()[-1].ok)
    assert [look.ok for look in sung()].count(False) == 2
    scene.done(scene.job())


def test_a_canary_that_fails_after_the_repair_asks_a_person_and_its_fallback_takes_over(scene):
    scene.start("gh-2", ephemeral=False)
    scene.city.runners.stop("gh-2")
    runner = scene.start(ephemeral=False, canary=30, fallback="gh-2")
    work = runner.folder / "agent" / "_work"
    work.mkdir(exist_ok=True)
    (work / "_tool").write_text("not a folder")
    until(lambda: scene.state().phase is Phase.QUARANTINED, seconds=60)
    assert "canary" in scene.state().reason
    until(lambda: scene.state("gh-2").phase is Phase.RUNNING)


def test_starting_it_again_changes_nothing(scene):
    """Neither by its handle, nor by the words that it was started with."""
    runner = scene.start(ephemeral=False, labels=["self-hosted", "gpu"], fallback="", retries=3)
    pid = runner.pid
    assert runner.start().pid == pid
    assert scene.start(ephemeral=False, labels=["self-hosted", "gpu"], retries=3).pid == pid
    assert len(scene.github.runners(REPO)) == 1
