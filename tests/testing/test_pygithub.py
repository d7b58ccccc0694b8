"""A client that other people wrote drives the stand-in of GitHub: a second opinion on what it answers."""

from __future__ import annotations

import pytest

from qcity_nb.testing.github import FakeGitHub

pygithub = pytest.importorskip("github", reason="PyGithub is not installed")
REPO = "octo/hello"


@pytest.fixture
def fake():
    with FakeGitHub(base="/api/v3") as fake:
        fake.repository(REPO)
        yield fake


@pytest.fixture
def repo(fake):
    quick = {"retry": None, "seconds_between_requests": 0, "seconds_between_writes": 0}
    made = pygithub.Github(auth=pygithub.Auth.Token(fake.token()), base_url=fake.url, **quick)
    yield made.get_repo(REPO)
    made.close()


def test_runners(fake, repo):
    for number in range(35):
        fake.add_runner(REPO, f"runner-{number}", labels=["self-hosted", "Linux", "gpu"], online=True)
    found = list(repo.get_self_hosted_runners())
    assert [runner.name for runner in found] == [f"runner-{number}" for number in range(35)]
    one = repo.get_self_hosted_runner(found[3].id)
    assert (one.status, one.busy, one.os, [label["name"] for label in one.labels]) == ("online", False, "linux", ["self-hosted", "Linux", "gpu"])
    fake.busy(REPO, "runner-3")
    assert not repo.remove_self_hosted_runner(one)
    fake.busy(REPO, "runner-3", busy=False)
    assert repo.remove_self_hosted_runner(one)
    assert len(fake.runners(REPO)) == 34


def test_runs_and_jobs(fake, repo):
    job = fake.queue_job(REPO, labels=["self-hosted", "gpu"], name="test")
    fake.finish_job(job, "failure")
    run = repo.get_workflow_runs(status="failure")[0]
    (seen,) = run.jobs()
    assert (seen.id, seen.name, seen.conclusion, run.head_branch, run.event) == (job, "test", "failure", "main", "push")
    assert seen.logs_url().startswith("http://localhost")
    assert run.rerun_failed_jobs()
    assert [(again.run_attempt, again.status) for again in run.jobs()] == [(2, "queued")]
    assert run.cancel()
    assert repo.get_workflow_run(run.id).conclusion == "cancelled"
    assert run.rerun()


def test_a_repair_by_pull_request(fake, repo):
    main = repo.get_git_ref("heads/main")
    repo.create_git_ref("refs/heads/repair", main.object.sha)
    there = repo.get_contents("README.md", ref="repair")
    assert there.decoded_content == b"# hello\n"
    repo.update_file("README.md", "repair the link", "# hello, world\n", there.sha, branch="repair")
    repo.create_file("docs/a.md", "a page", "text\n", branch="repair")
    pull = repo.create_pull(base="main", head="repair", title="Repair", body="why", draft=True)
    pull.create_issue_comment("proved")
    assert [(one.number, one.head.ref, one.draft) for one in repo.get_pulls(head="octo:repair")] == [(1, "repair", True)]
    assert [comment.body for comment in pull.get_issue_comments()] == ["proved"]
    assert fake.repo(REPO).trees["repair"] == {"README.md": b"# hello, world\n", "docs/a.md": b"text\n"}


def test_errors(fake, repo):
    with pytest.raises(pygithub.UnknownObjectException):
        repo.get_self_hosted_runner(999)
    with pytest.raises(pygithub.GithubException, match="Reference already exists"):
        repo.create_git_ref("refs/heads/main", repo.get_git_ref("heads/main").object.sha)
