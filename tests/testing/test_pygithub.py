"""A client that other people wrote drives the stand-in of GitHub: a second opinion on what it answers."""

from __future__ import annotations

import subprocess

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


def test_a_pull_request_of_what_git_pushed_is_opened_and_merged(fake, repo, tmp_path):
    bare, work = tmp_path / "bare.git", tmp_path / "work"
    for words in (["init", "-q", "--bare", "-b", "main", bare], ["init", "-q", "-b", "main", work]):
        subprocess.run(["git", *words], check=True)
    address = fake.serve(REPO, bare).replace("://", f"://x-access-token:{fake.token({'contents': 'write'})}@")
    for words in (["commit", "-q", "--allow-empty", "-m", "first"], ["commit", "-q", "--allow-empty", "-m", "more"]):
        subprocess.run(["git", "-C", work, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words], check=True)
    pushed = ("HEAD~1:refs/heads/main", "HEAD:refs/heads/more", "HEAD~1:refs/heads/same")
    subprocess.run(["git", "-C", work, "push", "-q", address, *pushed], check=True)
    wrong = address.replace("x-access-token:", "x-access-token:x")
    refused = subprocess.run(["git", "-C", work, "ls-remote", wrong], capture_output=True, check=False)
    assert b"Authentication failed" in refused.stderr
    with pytest.raises(pygithub.GithubException, match="No commits between main and same"):
        repo.create_pull(base="main", head="same", title="Links", body="why")
    pull = repo.create_pull(base="main", head="more", title="Links", body="why")
    pull.edit(state="closed", body="closed")
    assert [(one.state, one.body, one.merged_at) for one in repo.get_pulls(state="all", head="octo:more")] == [("closed", "closed", None)]
    pull.edit(state="open")
    fake.merge(REPO, pull.number, squash=True)
    assert repo.get_pull(pull.number).merged
    log = subprocess.run(["git", "-C", bare, "log", "--format=%s", "main"], check=True, capture_output=True, text=True).stdout.split("\n")
    assert log[:2] == ["Merge more", "first"]
