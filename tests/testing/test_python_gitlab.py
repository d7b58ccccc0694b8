"""A client that other people wrote drives the stand-in of GitLab: a second opinion on what it answers."""

from __future__ import annotations

import subprocess

import pytest

from qcity_nb.testing.gitlab import FakeGitLab

library = pytest.importorskip("gitlab", reason="python-gitlab is not installed")
PATH = "octo/app"


@pytest.fixture
def fake():
    with FakeGitLab() as fake:
        fake.project(PATH)
        yield fake


@pytest.fixture
def client(fake):
    with library.Gitlab(fake.root, private_token=fake.token(), timeout=5) as client:
        yield client


def test_a_runner_from_creation_to_deletion(fake, client):
    client.auth()
    project = client.projects.get(PATH)
    sent = {"runner_type": "project_type", "project_id": project.id, "description": "one", "tag_list": ["gpu"]}
    made = client.user.runners.create(sent)
    assert made.token.startswith("glrt-")
    for number in range(30):
        fake.add_runner(PATH, f"runner-{number}")
    assert len(project.runners.list(get_all=True)) == len(client.runners.list(get_all=True)) == 31
    runner = client.runners.get(made.id)
    assert (runner.status, runner.tag_list, runner.paused) == ("never_contacted", ["gpu"], False)
    runner.paused, runner.tag_list = True, ["gpu", "big"]
    runner.save()
    assert (fake.runner("one").paused, fake.runner("one").tags) == (True, ["gpu", "big"])
    assert client.runners.verify(made.token) is None
    runner.delete()
    with pytest.raises(library.GitlabGetError) as caught:
        client.runners.get(made.id)
    assert caught.value.response_code == 404


def test_jobs_and_pipelines(fake, client):
    project, first = client.projects.get(PATH), fake.queue_job(PATH, name="test", tags=["gpu"])
    runner = fake.add_runner(PATH, "one", tags=["gpu"])
    (pending,) = project.jobs.list(scope=["pending", "running"], get_all=True)
    assert (pending.id, pending.status, pending.tag_list) == (first, "pending", ["gpu"])
    with fake.lock:
        fake.state.start(fake.job(first), runner, "", {})
    assert [job.id for job in client.runners.get(runner.id).jobs.list(status="running", get_all=True)] == [first]
    fake.job(first).trace = b"a line\n"
    fake.finish_job(first, "failed", "runner_system_failure")
    job = project.jobs.get(first)
    assert (job.failure_reason, job.trace()) == ("runner_system_failure", b"a line\n")
    job.retry()
    assert [(one.name, one.status) for one in fake.jobs(PATH)] == [("test", "failed"), ("test", "pending")]
    pipeline = project.pipelines.get(job.pipeline["id"])
    assert pipeline.status == "pending"
    pipeline.cancel()
    assert project.pipelines.list(get_all=True)[0].status == "canceled"
    pipeline.retry()
    assert [one.status for one in pipeline.jobs.list(get_all=True)] == ["pending"]
    manual = fake.queue_job(PATH, manual=True)
    project.jobs.get(manual).play()
    project.jobs.get(manual).cancel()
    assert fake.job(manual).status == "canceled"


def test_a_merge_request_from_opening_to_merging(fake, client, tmp_path):
    bare, work = tmp_path / "bare.git", tmp_path / "work"
    for words in (["init", "-q", "--bare", "-b", "main", bare], ["init", "-q", "-b", "main", work]):
        subprocess.run(["git", *words], check=True)
    address = fake.serve(PATH, bare).replace("://", f"://oauth2:{fake.token(['write_repository'])}@")
    for words in (["commit", "-q", "--allow-empty", "-m", "first"], ["commit", "-q", "--allow-empty", "-m", "more"]):
        subprocess.run(["git", "-C", work, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words], check=True)
    subprocess.run(["git", "-C", work, "push", "-q", address, "HEAD~1:refs/heads/main", "HEAD:refs/heads/more"], check=True)
    project = client.projects.get(PATH)
    with pytest.raises(library.GitlabCreateError, match="does not exist"):
        project.mergerequests.create({"source_branch": "gone", "target_branch": "main", "title": "no"})
    made = project.mergerequests.create({"source_branch": "more", "target_branch": "main", "title": "Links", "description": "why"})
    with pytest.raises(library.GitlabCreateError, match="already exists"):
        project.mergerequests.create({"source_branch": "more", "target_branch": "main", "title": "Links"})
    made.description, made.state_event = "closed", "close"
    made.save()
    assert [one.state for one in project.mergerequests.list(source_branch="more", state="all", get_all=True)] == ["closed"]
    made.state_event = "reopen"
    made.save()
    assert made.sha == subprocess.run(["git", "-C", work, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    fake.merge(PATH, made.iid)
    found = project.mergerequests.get(made.iid)
    assert (found.state, found.title, found.description, found.merged_at is not None) == ("merged", "Links", "closed", True)
    with pytest.raises(library.GitlabGetError):
        project.mergerequests.get(9)


def test_groups_and_errors(fake, client):
    group = fake.group("octo")
    assert client.groups.get("octo").id == group.id
    assert [one.path_with_namespace for one in client.groups.get("octo").projects.list(get_all=True)] == [PATH]
    with pytest.raises(library.GitlabAuthenticationError), library.Gitlab(fake.root, private_token="wrong") as other:
        other.auth()
    client.http_get("/personal_access_tokens/self")
    with pytest.raises(library.GitlabHttpError, match="404"):
        client.http_get("/projects/nothing")
