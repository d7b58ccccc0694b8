"""Jobs of a GitLab file that the real gitlab-ci-local runs for a real worker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qcity_nb.kinds.runners.local import gitlab
from qcity_nb.model.wire import JobMoved
from qcity_nb.model.work import Outcome

from .conftest import Driver, Repo

pytestmark = pytest.mark.real

VERSION = "4.70.1"  # the newest that runs on Node 20
PIPELINE = """
stages: [build, test, deploy]
variables: {COLOR: red}
compile:
  stage: build
  before_script: [echo before]
  script:
    - echo "compiling $COLOR"
    - mkdir -p out
    - echo made > out/made.txt
    - echo "FROM_DOTENV=hello" > build.env
  after_script: [echo cleaning]
  artifacts:
    paths: [out/]
    reports: {dotenv: build.env}
unit:
  stage: test
  timeout: 1h 30m
  parallel:
    matrix:
      - PY: ["3.10", "3.11"]
  script:
    - cat out/made.txt
    - echo "python $PY"
lint:
  stage: test
  needs: []
  allow_failure: true
  script: [echo linting, "test ! -e out", exit 3]
by hand:
  stage: deploy
  when: manual
  script: [echo never]
left out:
  rules: [{when: never}]
  script: [echo never]
ship:
  stage: deploy
  script:
    - cat out/made.txt
    - echo "dotenv=$FROM_DOTENV token=glpat-abcdefghijklmnop1234 $CI_COMMIT_SHA"
    - printf '\\033[31mred\\033[0m\\n'
"""


def _program(folder: Path) -> str:
    """A gitlab-ci-local that starts: the one that is named, the one on PATH, else one that npm puts into `folder`."""
    found = shutil.which(os.environ.get(gitlab.VARIABLE) or "gitlab-ci-local")
    if found:
        return found
    program = folder / "bin" / "gitlab-ci-local"
    lack = next((one for one in ("npm", "rsync") if shutil.which(one) is None), "")
    if not lack and not program.exists():
        done = subprocess.run(
            ["npm", "install", "-g", "--prefix", str(folder), f"gitlab-ci-local@{VERSION}"], capture_output=True, text=True, check=False
        )
        lack = "" if done.returncode == 0 else f"a gitlab-ci-local that npm can install ({done.stderr[-200:]})"
    if lack:
        if os.environ.get("CI") == "true":
            pytest.fail(f"there is no {lack}")
        pytest.skip(f"there is no {lack}")
    return str(program)


@pytest.fixture(scope="session")
def program() -> str:
    """The real tool."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return _program(cache / "qcity-tests" / f"gitlab-ci-local-{VERSION}")


@pytest.fixture
def ci(repo: Repo, drive: Callable[..., Driver], program: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Driver]:
    """Commits a GitLab file and starts a worker for it."""
    monkeypatch.setenv(gitlab.VARIABLE, program)

    def start(text: str, **options: object) -> Driver:
        repo.commit({gitlab.FILE: text})
        return drive(repo, **options)

    return start


def test_a_pipeline_with_stages_needs_artifacts_a_matrix_and_a_forgiven_failure(ci: Callable[..., Driver]) -> None:
    driver = ci(PIPELINE)
    [plan] = driver.builds()
    assert not plan.problem
    assert plan.executor == "gitlab-ci-local"
    jobs = {job.name: job for job in plan.jobs}
    assert list(jobs) == ["compile", "unit: [3.10]", "unit: [3.11]", "lint", "ship"]
    assert [job.refusal for job in plan.jobs] == [""] * 5
    assert jobs["unit: [3.10]"].needs == ("compile",)
    assert jobs["unit: [3.10]"].key == "unit"
    assert jobs["unit: [3.10]"].timeout.total_seconds() == 5400
    assert jobs["lint"].needs == ()
    assert jobs["lint"].allow_failure
    assert set(jobs["ship"].needs) == {"compile", "unit", "lint"}

    ends = driver.run(plan)
    assert {name: end.outcome for name, end in ends.items()} == {
        "compile": Outcome.SUCCESS,
        "unit: [3.10]": Outcome.SUCCESS,
        "unit: [3.11]": Outcome.SUCCESS,
        "lint": Outcome.FAILURE,
        "ship": Outcome.SUCCESS,
    }
    assert [(step.name, step.outcome) for step in ends["compile"].steps] == [
        ("before_script", Outcome.SUCCESS),
        ("script", Outcome.SUCCESS),
        ("after_script", Outcome.SUCCESS),
    ]
    assert all(step.seconds is not None for step in ends["compile"].steps)
    assert ends["lint"].reason == 'step 1 "script" ended with exit code 3: linting'
    [artifact] = ends["compile"].artifacts
    assert (driver.home.root / artifact.path / "out" / "made.txt").read_text() == "made\n"
    assert artifact.path == "artifacts/1/compile"
    log = driver.log(ends["ship"].token)
    assert "dotenv=hello token=*** " + plan.sha in log
    assert "\nred\n" in log
    assert "\x1b" not in log
    assert "python 3.11" in driver.log(ends["unit: [3.11]"].token)
    assert list((driver.home.root / "work" / "runner").iterdir()) == []


OTHERS = """
stages: [one, two, three]
broken:
  stage: one
  script:
    - echo talk
    - "echo 'ValueError: no such thing' >&2"
    - exit 4
  after_script: ["echo after: $CI_JOB_STATUS"]
coded:
  stage: one
  allow_failure: {exit_codes: [7]}
  script: [exit 7]
rescue:
  stage: two
  when: on_failure
  script: [echo rescued]
always:
  stage: three
  when: always
  script: [echo always]
normal:
  stage: three
  script: [echo normal]
joined:
  stage: three
  needs: [coded, {job: nowhere, optional: true}]
  script: [echo joined]
manual:
  stage: two
  when: manual
  script: [echo manual]
stuck:
  stage: three
  needs: [manual]
  script: [echo stuck]
docked:
  stage: one
  image: alpine
  script: [echo docked]
served:
  stage: one
  services: [postgres]
  script: [echo served]
again:
  stage: one
  retry: 1
  needs: []
  script: ["echo try; exit 1"]
"""


def test_failures_conditions_retries_and_what_needs_containers(ci: Callable[..., Driver]) -> None:
    driver = ci(OTHERS)
    [plan] = driver.builds()
    jobs = {job.name: job for job in plan.jobs}
    assert "manual" not in jobs
    assert {name: job.condition for name, job in jobs.items() if job.condition not in ("", "no_failure")} == {"rescue": "on_failure"}
    assert (jobs["normal"].condition, jobs["always"].condition, jobs["joined"].condition) == ("no_failure", "", "")
    assert (jobs["normal"].unconditional, jobs["always"].unconditional, jobs["joined"].unconditional) == (False, False, True)
    assert jobs["joined"].needs == ("coded",)
    assert {name: job.refusal for name, job in jobs.items() if job.refusal} == {
        "stuck": '.gitlab-ci.yml:35: job "stuck" needs "manual", which does not run by itself',
        "docked": '.gitlab-ci.yml:39: job "docked" uses `image:`, which needs containers; this machine has none',
        "served": '.gitlab-ci.yml:43: job "served" uses `services:`, which needs containers; this machine has none',
    }
    tokens = {name: driver.order(plan, jobs[name]) for name in ("broken", "coded", "rescue", "always", "again")}
    ends = {name: driver.ended(token) for name, token in tokens.items()}
    assert ends["broken"].outcome is Outcome.FAILURE
    assert ends["broken"].reason == 'step 1 "script" ended with exit code 4: ValueError: no such thing'
    assert [(step.name, step.outcome) for step in ends["broken"].steps] == [("script", Outcome.FAILURE), ("after_script", Outcome.SUCCESS)]
    assert "after: failed" in driver.log(tokens["broken"])
    assert ends["coded"].outcome is Outcome.SUCCESS
    assert [note.message for note in ends["coded"].annotations] == ['step 1 "script" ended with exit code 7; its file allows this exit code']
    assert (ends["rescue"].outcome, ends["always"].outcome) == (Outcome.SUCCESS, Outcome.SUCCESS)
    assert "rescued" in driver.log(tokens["rescue"])
    assert ends["again"].outcome is Outcome.FAILURE
    assert driver.log(tokens["again"]).count("\ntry\n") == 2


SLOW = """
slow:
  timeout: 3 seconds
  script:
    - setsid sleep 1000 & echo begun
    - sleep 1000
long:
  script:
    - setsid sleep 1001 & echo begun
    - sleep 1001
"""


def test_timeout_and_cancel_leave_nothing(ci: Callable[..., Driver]) -> None:
    driver = ci(SLOW)
    [plan] = driver.builds()
    jobs = {job.name: job for job in plan.jobs}
    slow, long = driver.order(plan, jobs["slow"]), driver.order(plan, jobs["long"])
    driver.wait(lambda facts: any(isinstance(fact, JobMoved) and fact.token == long for fact in facts))
    driver.cancel(long)
    end = driver.ended(long)
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, "asked to")
    assert [(step.name, step.outcome) for step in end.steps] == [("script", Outcome.CANCELLED)]
    end = driver.ended(slow)
    assert (end.outcome, end.reason) == (Outcome.TIMED_OUT, "it ran longer than its timeout of 0.05 min")
    left = [one for one in Path("/proc").glob("[0-9]*/cmdline") if _says(one) in (b"sleep\0001000\0", b"sleep\0001001\0")]
    assert left == []
    assert list((driver.home.root / "work" / "runner").iterdir()) == []


def _says(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_link_in_the_commit_does_not_lead_artifacts_out(ci: Callable[..., Driver], repo: Repo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo.folder / "out").symlink_to(outside)
    driver = ci(
        """
stages: [a, b]
make:
  stage: a
  script: [rm out, mkdir out, echo 1 > out/file]
  artifacts: {paths: [out/]}
take:
  stage: b
  script: [cat out/file]
"""
    )
    ends = driver.run(driver.builds()[0])
    assert [end.outcome for end in ends.values()] == [Outcome.SUCCESS, Outcome.SUCCESS]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("", gitlab.MISSING),
        ("#!/bin/sh\necho 'needs Node 22' >&2\nexit 1\n", "not run: gitlab-ci-local does not start here: needs Node 22"),
    ],
)
def test_without_the_tool_jobs_are_recorded_as_not_run(
    script: str, sentence: str, repo: Repo, drive: Callable[..., Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tool"
    if script:
        program.write_text(script)
        program.chmod(0o755)
    monkeypatch.setenv(gitlab.VARIABLE, str(program))
    repo.commit({gitlab.FILE: PIPELINE})
    [plan] = drive(repo).builds()
    assert {job.refusal for job in plan.jobs} == {sentence}
    assert {job.name for job in plan.jobs} == {"compile", "unit", "lint", "by hand", "left out", "ship"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\tscript: [x]\n", ".gitlab-ci.yml:2: a tab indents this line; YAML allows spaces only"),
        ("a:\n  script: [x]\n  timeout: soon\n", '.gitlab-ci.yml:3: job "a": timeout is "soon", which is not a time like "1h 30m"'),
    ],
)
def test_a_file_that_cannot_be_used(text: str, problem: str, ci: Callable[..., Driver]) -> None:
    [plan] = ci(text).builds()
    assert plan.problem == problem


def test_what_the_tool_says_against_a_file_is_the_problem(ci: Callable[..., Driver]) -> None:
    [plan] = ci("a:\n  stage: nowhere\n  script: [x]\n").builds()
    assert plan.problem.startswith(".gitlab-ci.yml cannot be used: ")
    assert "nowhere" in plan.problem
