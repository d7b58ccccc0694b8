"""Jobs of a GitLab file that the real gitlab-ci-local runs for a real worker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qcity_nb.kinds.runners.local import gitlab
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
