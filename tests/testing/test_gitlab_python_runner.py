"""A real runner that other people wrote, `gitlab-python-runner`, works for the stand-in of GitLab: it registers, claims, runs, reports, leaves."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
import zipfile
from pathlib import Path

import pytest

from qcity_nb.testing.gitlab import FakeGitLab

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]
PACKAGES = ["gitlab-python-runner==14.3.20", "gitlab-emulator==1.0.5"]  # later emulators do not import with it
PATH = "octo/app"


@pytest.fixture(scope="module")
def runner_python():
    """The Python of an environment with the runner, made once and kept in the temporary folder of this user."""
    base = Path(tempfile.gettempdir()) / f"qcity-tests-{os.geteuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    assert base.stat().st_uid == os.geteuid(), f"{base} is somebody else's"
    kept = base / f"gitlab-python-runner-14.3.20-python{sys.version_info.major}.{sys.version_info.minor}"
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=base))
        venv.create(made, with_pip=True)
        done = subprocess.run([str(made / "bin/python"), "-m", "pip", "install", "-q", *PACKAGES], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(made)
            reason = f"gitlab-python-runner cannot be installed here: {done.stderr.strip().splitlines()[-1]}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        made.rename(kept)  # only whole environments have the name; they are used by their python alone, which does not mind
    return str(kept / "bin/python")


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit: its folder and the commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello from the repository\n")

    def git(*words):
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        done = subprocess.run(["git", *words], cwd=folder, env=os.environ | who, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return str(folder), git("rev-parse", "HEAD")


@pytest.fixture
def run(runner_python, tmp_path):
    """The runner's command."""
    work = tmp_path / "work"
    work.mkdir()

    def run(*words):
        program = [runner_python, "-m", "GitlabPyRunner", *words]
        return subprocess.run(program, cwd=work, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"HOME": str(tmp_path)})

    return run


def test_it_registers_works_and_leaves(run, checkout):
    folder, sha = checkout
    with FakeGitLab() as gitlab:
        project = gitlab.project(PATH)
        done = run("--register", gitlab.root, "--regtoken", project.registration_token, "--desc", "real", "--tag", "gpu")
        assert done.returncode == 0, done.stderr
        assert (gitlab.runner("real").tags, gitlab.runner("real").run_untagged) == (["gpu"], False)

        more = {"repo_url": folder, "sha": sha, "tags": ["gpu"], "variables": {"GITLAB_PYTHON_RUNNER_COMPUTED": "yes", "WHO": "the stand-in"}}
        artifacts = [{"name": "out", "paths": ["made.txt"], "when": "on_success"}]
        good = gitlab.queue_job(PATH, script=["cat hello.txt", 'echo "for $WHO" > made.txt'], artifacts=artifacts, **more)
        bad = gitlab.queue_job(PATH, script=["echo before", "exit 3"], **more)

        assert run("--start", "gitlab-runner.yml", "--once").returncode == 0
        job = gitlab.job(good)
        assert job.status == "success", job.trace.decode()
        assert "hello from the repository" in job.trace.decode()
        assert job.archive is not None
        assert zipfile.ZipFile(io.BytesIO(job.archive[1])).read("made.txt") == b"for the stand-in\n"
        assert gitlab.state.status(gitlab.runner("real").contacted) == "online"
        assert gitlab.flags
        assert all("1 off" in flag for flag in gitlab.flags)

        assert run("--start", "gitlab-runner.yml", "--once").returncode != 0
        assert (gitlab.job(bad).status, "before" in gitlab.job(bad).trace.decode()) == ("failed", True)

        assert run("--unregister").returncode == 0
        assert gitlab.runners() == []


def test_it_hears_that_its_job_was_cancelled(run, checkout):
    """It was claimed and then cancelled: the trace is refused. This runner lets the script come to its end all the same, then gives up."""
    folder, sha = checkout
    with FakeGitLab() as gitlab:
        project = gitlab.project(PATH)
        run("--register", gitlab.root, "--regtoken", project.registration_token, "--desc", "real", "--tag", "gpu")
        variables = {"GITLAB_PYTHON_RUNNER_COMPUTED": "yes"}
        script = ["for i in $(seq 60); do echo $i; sleep 0.1; done"]
        number = gitlab.queue_job(PATH, script=script, repo_url=folder, sha=sha, tags=["gpu"], variables=variables)

        def cancel():
            gitlab.wait(lambda: b"\n3" in gitlab.state.jobs[number].trace, 30)
            gitlab.cancel_job(number)

        cancelling = threading.Thread(target=cancel)
        cancelling.start()
        done = run("--start", "gitlab-runner.yml", "--once")
        cancelling.join(30)
        assert gitlab.job(number).status == "canceled"
        assert done.returncode != 0
        assert 403 in {line.status for line in gitlab.seen("PATCH", f"/jobs/{number}/trace")}
