"""The clients of forges against stateful stand-ins over loopback HTTP: what they ask, how they take bad answers, what a person gets to read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qcity_nb.decide.rest import ATTEMPTS
from qcity_nb.errors import PlatformError, Refused
from qcity_nb.kinds import forges
from qcity_nb.kinds.forges.github import GitHub
from qcity_nb.kinds.forges.gitlab import GitLab
from qcity_nb.kinds.forges.http import download, path_fails_at
from qcity_nb.model.agent import Wanted
from qcity_nb.testing import faults
from qcity_nb.testing.github import Checksum, FakeGitHub
from qcity_nb.testing.gitlab import FakeGitLab

REPO = "octo/hello"


def hurry(forge):
    """Waits between attempts take no time; what they would have been is noted."""
    waits = []
    forge.caller._pause = waits.append
    return waits


@pytest.fixture
def github():
    with FakeGitHub(base="/api/v3") as server:
        server.repository(REPO)
        yield server


@pytest.fixture
def gitlab():
    with FakeGitLab() as server:
        server.project(REPO)
        yield server


def hub(server, token=None, **wanted):
    asked = Wanted(forge="github", url=server.root, scope=REPO, name="gh-1", labels=("self-hosted", "qcity-1"), **wanted)
    forge = forges.connect(asked, token or server.token())
    assert isinstance(forge, GitHub)
    hurry(forge)
    return forge, asked


def lab(server, token=None, **wanted):
    asked = Wanted(forge="gitlab", url=server.root, scope=REPO, name="gl-1", labels=("docker",), **wanted)
    forge = forges.connect(asked, token or server.token())
    assert isinstance(forge, GitLab)
    hurry(forge)
    return forge, asked


def test_a_just_in_time_runner_is_made_listed_labelled_and_deleted(github):
    forge, wanted = hub(github)
    given = forge.register(wanted)
    assert given.jit
    assert given.secret not in repr(given)
    found = forge.find("gh-1")
    assert found is not None
    assert (found.id, found.online, found.busy, found.ephemeral) == (given.id, False, False, True)
    forge.set_labels(found.id, ["gpu"])
    assert "gpu" in forge.runner(found.id).labels
    forge.remove(found.id)
    forge.remove(found.id)  # gone already is fine
    assert forge.runner(found.id) is None
    assert forge.runners() == []


def test_a_gitlab_runner_is_made_paused_tagged_and_deleted(gitlab):
    forge, wanted = lab(gitlab)
    given = forge.register(wanted)
    assert given.secret.startswith("glrt-")
    found = forge.find("gl-1")
    assert found is not None
    assert found.labels == ("docker",)
    assert forge.pause(found.id, paused=True)
    assert forge.runner(found.id).paused
    forge.set_labels(found.id, ["gpu", "big"])
    assert set(forge.runner(found.id).labels) == {"gpu", "big"}
    assert forge.verify(given.secret)
    forge.remove(found.id)
    assert forge.runner(found.id) is None
    assert not forge.verify(given.secret)


def test_a_registration_token_for_a_lasting_runner(github):
    forge, wanted = hub(github, ephemeral=False)
    given = forge.register(wanted)
    assert not given.jit
    assert given.expires is not None


def test_more_than_a_page_of_runners_is_listed(github):
    for number in range(205):
        github.add_runner(REPO, f"r-{number}")
    forge, _ = hub(github)
    assert len(forge.runners()) == 205


def test_unchanged_lists_cost_nothing(github):
    token = github.token()
    github.add_runner(REPO, "gh-1")
    forge, _ = hub(github, token)
    for _ in range(5):
        assert len(forge.runners()) == 1
    assert forge.caller.free == 4
    assert github.state.tokens[token].used == 1


def test_a_name_that_is_taken(github):
    forge, wanted = hub(github)
    github.add_runner(REPO, "gh-1")
    with pytest.raises(PlatformError) as caught:
        forge.register(wanted)
    assert caught.value.kind == "conflict"


def test_a_busy_runner_is_not_deleted(github):
    runner = github.add_runner(REPO, "gh-1", online=True)
    github.busy(REPO, "gh-1")
    forge, _ = hub(github)
    with pytest.raises(PlatformError) as caught:
        forge.remove(runner.id)
    assert caught.value.kind == "busy"
    assert not caught.value.permanent


def test_a_runner_group_that_is_not_there(github):
    github.organisation("octo")
    asked = Wanted(forge="github", url=github.root, scope="octo", name="gh-1", group="gpu", labels=("self-hosted",))
    forge = forges.connect(asked, github.token())
    with pytest.raises(PlatformError, match='no runner group "gpu"'):
        forge.register(asked)


@pytest.mark.parametrize(
    ("permissions", "kind", "words"),
    [({"actions": "read"}, "forbidden", "administration"), ({"administration": "write"}, "", "")],
)
def test_the_missing_permission_is_named_from_the_replys_own_header(github, permissions, kind, words):
    forge, wanted = hub(github, github.token(permissions=permissions))
    if not kind:
        assert forge.register(wanted).jit
        return
    with pytest.raises(PlatformError) as caught:
        forge.register(wanted)
    assert caught.value.kind in (kind, "not_found")
    assert words in str(caught.value)


def test_a_wrong_token_and_an_unknown_repository_are_sentences(github, gitlab):
    for made in (hub(github, "github_pat_wrong0000000000000000"), lab(gitlab, "glpat-wrong0000000000000")):
        with pytest.raises(PlatformError, match="does not accept the token") as caught:
            made[0].runners()
        assert caught.value.kind == "unauthorized"
        assert "wrong0000" not in str(caught.value)
    asked = Wanted(forge="github", url=github.root, scope="octo/nme", name="x")
    with pytest.raises(PlatformError, match=r"cannot see it|needs") as caught:
        forges.connect(asked, github.token()).runners()
    assert caught.value.kind == "not_found"


def test_the_nearest_name_that_the_token_sees_is_offered(github, gitlab):
    gitlab.group("octo-team")
    near = [
        Wanted(forge="github", url=github.root, scope="octo/helo", name="x"),
        Wanted(forge="gitlab", url=gitlab.root, scope="octo/helo", name="x"),
        Wanted(forge="gitlab", url=gitlab.root, scope="octo-taem", name="x", options={"scope": "group"}),
    ]
    for asked, name in zip(near, (REPO, REPO, "octo-team"), strict=True):
        server = github if asked.forge == "github" else gitlab
        with pytest.raises(PlatformError, match=f'Did you mean "{name}"') as caught:
            forges.connect(asked, server.token()).find("x")
        assert caught.value.kind == "not_found"
    far = Wanted(forge="gitlab", url=gitlab.root, scope="nothing/alike", name="x")
    with pytest.raises(PlatformError, match="cannot see it"):
        forges.connect(far, gitlab.token()).find("x")


def test_trouble_of_the_platform_is_asked_again_where_that_is_safe(github):
    forge, wanted = hub(github)
    waits = hurry(forge)
    github.fault(faults.status(502), path="*/actions/runners", times=2)
    assert forge.runners() == []
    assert len(waits) == 2
    github.fault(faults.status(502), path="*/generate-jitconfig", times=1)
    with pytest.raises(PlatformError) as caught:
        forge.register(wanted)
    assert caught.value.kind == "server"
    assert len(waits) == 2, "a POST that may have been done is not repeated"
    github.fault(faults.status(503), path="*/actions/runners", times=ATTEMPTS)
    with pytest.raises(PlatformError):
        forge.runners()


@pytest.mark.parametrize("fault", [faults.truncated(), faults.reset(), faults.malformed()], ids=["truncated", "reset", "malformed"])
def test_answers_that_are_none(github, fault):
    forge, _ = hub(github)
    github.fault(fault, path="*/actions/runners", times=None)
    with pytest.raises(PlatformError) as caught:
        forge.runners()
    assert caught.value.kind in ("unreachable", "garbled")
    assert not caught.value.permanent


def test_limits_are_obeyed_and_long_ones_given_back(github):
    token = github.token()
    forge, _ = hub(github, token)
    waits = hurry(forge)
    github.fault(faults.secondary_limit(retry_after=1), path="*/actions/runners", times=1)
    assert forge.runners() == []
    assert waits == [1.0]
    github.spend(token)
    with pytest.raises(PlatformError, match="asks us to wait") as caught:
        forge.queued()
    assert caught.value.kind == "limited"
    assert 3000 < caught.value.retry_after <= 3600


def test_the_platforms_clock_is_read_from_every_answer(github):
    forge, _ = hub(github)
    forge.runners()
    assert abs(forge.skew()) < timedelta(seconds=3)
    github.fault(faults.wrong_clock(timedelta(minutes=-10)), path="*", times=None)
    forge.queued()
    assert timedelta(minutes=9) < forge.skew() < timedelta(minutes=11)


def test_nobody_there_is_said_with_the_layer(github):
    forge, _ = hub(github)
    github.down()
    with pytest.raises(PlatformError, match="cannot be reached") as caught:
        forge.runners()
    assert caught.value.layer in ("tcp", "http")
    assert path_fails_at(github.root) == "tcp"
    github.up()
    assert path_fails_at(github.root) == ""
    assert path_fails_at("https://no-such-host.invalid") == "dns"
    assert path_fails_at(github.root.replace("http://", "https://")) == "tls"


def test_a_jobs_log_is_fetched_without_our_credentials(github):
    job = github.queue_job(REPO)
    github.finish_job(job)
    forge, _ = hub(github)
    forge.caller.text(f"/repos/{REPO}/actions/jobs/{job}/logs")
    followed = [exchange for exchange in github.log if "Authorization" not in exchange.headers]
    assert followed, "the address that we were sent to saw no token"


def test_jobs_that_wait_and_lost_ones_run_again(github):
    forge, _ = hub(github)
    job = github.queue_job(REPO, labels=["self-hosted", "gpu"], name="train")
    [waits] = forge.queued()
    assert (waits.id, waits.name, waits.status, set(waits.labels)) == (job, "train", "queued", {"self-hosted", "gpu"})
    github.finish_job(job, "failure")
    assert forge.queued() == []
    forge.rerun(waits)
    assert [one.name for one in forge.queued()] == ["train"]


def test_gitlab_jobs_wait_run_and_are_retried(gitlab):
    forge, _ = lab(gitlab)
    gitlab.queue_job(REPO, name="build")
    [waits] = forge.queued()
    assert (waits.name, waits.status) == ("build", "queued")
    gitlab.finish_job(waits.id, "failed", "runner_system_failure")
    forge.rerun(waits)
    assert [one.name for one in forge.queued()] == ["build"]


def test_releases_with_their_checksums(github, tmp_path):
    github.offer(b"an archive", version="2.340.1")
    forge, _ = hub(github)
    [package] = forge.packages()
    assert package.version == "2.340.1"
    download(package.url, tmp_path / "a", sha256=package.sha256, who="GitHub")
    assert (tmp_path / "a").read_bytes() == b"an archive"


@pytest.mark.parametrize(("checksum", "words"), [(Checksum.MISSING, "gives no checksum"), (Checksum.WRONG, "is not what GitHub says it is")])
def test_a_download_that_nobody_vouches_for_is_refused(github, tmp_path, checksum, words):
    github.offer(b"an archive", checksum=checksum)
    [package] = hub(github)[0].packages()
    with pytest.raises(Refused, match=words):
        download(package.url, tmp_path / "a", sha256=package.sha256, who="GitHub")
    assert list(tmp_path.iterdir()) == []
