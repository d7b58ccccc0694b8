"""Drives a real worker the way the engine does: orders and facts in files, doorbells, nothing in between."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from qcity_nb.io import spool
from qcity_nb.kinds.runners.local import KIND
from qcity_nb.model.home import Home
from qcity_nb.model.service import ServiceSpec
from qcity_nb.model.wire import BuildFound, CancelJob, Fact, JobEnded, Needed, Order, RunJob, Seen
from qcity_nb.model.work import BuildPlan, JobPlan, Outcome

PATIENCE = 40.0


def git(folder: Path, *args: str) -> str:
    """What git prints, with an author and without anybody's settings."""
    who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(["git", *args], cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


class Repo:
    """A repository to push into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")

    def commit(self, files: Mapping[str, str | bytes] | None = None, message: str = "a change") -> str:
        """Commit files; the commit's sha."""
        for name, content in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.folder, "rev-parse", "HEAD")

    def workflow(self, text: str, **files: str) -> str:
        """Commit a workflow."""
        return self.commit({".github/workflows/ci.yml": text, **files})

    def git(self, *args: str) -> str:
        """Any git command in it."""
        return git(self.folder, *args)


class Driver:
    """A worker and what it said."""

    def __init__(
        self,
        home: Home,
        options: Mapping[str, object],
        *,
        incarnation: int = 1,
        command: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.home, self.name, self.incarnation = home, "runner", incarnation
        spec = KIND.check(ServiceSpec(name=self.name, kind="local", options=options))
        folder = home.service(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        launch = KIND.launch(spec, home=home)
        self.bell = spool.Doorbell(home.doorbell)
        argv = (*command, *(launch.argv[3:] if command else launch.argv))
        self.said = (folder / "log").open("ab")
        full = {**launch.env, **(environ or {}), "QCITY_INCARNATION": str(incarnation)}
        self.process = subprocess.Popen(argv, env=full, cwd=launch.cwd, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said)
        self.facts: list[Fact] = []
        self.offset = 0
        self.jobs = 0

    def tell(self, order: Order) -> None:
        """Give an order."""
        spool.append(self.home.orders(self.name, self.incarnation), order)
        spool.ring(self.home.worker_bell(self.name))

    def wait(self, condition: Callable[[list[Fact]], object], *, patience: float = PATIENCE) -> object:
        """Wait until the facts so far satisfy the condition."""
        deadline = time.monotonic() + patience
        while True:
            new, self.offset = spool.read(self.home.facts(self.name, self.incarnation), self.offset, Fact)  # type: ignore[arg-type]
            self.facts += new
            if found := condition(self.facts):
                return found
            if time.monotonic() > deadline or self.process.poll() is not None:
                log = spool and (self.home.service(self.name) / "log").read_text()
                pytest.fail(f"waited in vain; the worker (exit {self.process.poll()}) said: {self.facts} {log}")
            select.select([self.bell.fd], [], [], 0.5)
            self.bell.clear()

    def of(self, kind: type) -> list:
        """The facts of a kind so far."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def builds(self, count: int = 1) -> list[BuildPlan]:
        """The first builds found."""
        self.wait(lambda facts: sum(isinstance(fact, BuildFound) for fact in facts) >= count)
        return [fact.plan for fact in self.of(BuildFound)]

    def order(self, plan: BuildPlan, job: JobPlan, *, token: str = "", needs: Mapping[str, Needed] | None = None, build: int = 1) -> str:
        """Order a job; its token."""
        self.jobs += 1
        token = token or f"t{self.incarnation}.{self.jobs}"
        self.tell(
            RunJob(
                token=token,
                job=self.jobs,
                attempt=1,
                build=build,
                sha=plan.sha,
                ref=plan.ref,
                workflow=plan.workflow,
                executor=plan.executor,
                plan=job,
                needs=dict(needs or {}),
            )
        )
        return token

    def ended(self, token: str) -> JobEnded:
        """How an attempt ended."""
        found = self.wait(lambda facts: next((fact for fact in facts if isinstance(fact, JobEnded) and fact.token == token), None))
        assert isinstance(found, JobEnded)
        return found

    def cancel(self, token: str, reason: str = "asked to", outcome: Outcome = Outcome.CANCELLED) -> None:
        """Cancel an attempt."""
        self.tell(CancelJob(token=token, reason=reason, outcome=outcome))

    def log(self, token: str) -> str:
        """The log of an attempt."""
        began = next(fact for fact in self.facts if type(fact).__name__ == "JobBegan" and fact.token == token)
        return (self.home.root / began.log).read_text()

    def run(self, plan: BuildPlan) -> dict[str, JobEnded]:
        """Run all jobs of a build, needs first, as the engine would; the ends by display name."""
        done: dict[str, Needed] = {}
        ends: dict[str, JobEnded] = {}
        waiting = [job for job in plan.jobs if not job.refusal]
        while waiting:
            ready = [job for job in waiting if all(need in done for need in job.needs)]
            assert ready, f"nothing can run of {waiting}"
            tokens = {job.name: self.order(plan, job, needs=ancestors(job, done)) for job in ready}
            for job in ready:
                end = ends[job.name] = self.ended(tokens[job.name])
                fine = job.allow_failure and end.outcome is Outcome.FAILURE
                done[job.key] = Needed(outcome=Outcome.SUCCESS if fine else end.outcome, outputs=end.outputs, needs=job.needs)
                waiting.remove(job)
        return ends

    def stop(self) -> int:
        """Stop the worker as the engine does; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            if not self.said.closed:
                self.said.close()
                self.bell.close()


def ancestors(job: JobPlan, done: Mapping[str, Needed]) -> dict[str, Needed]:
    """All that a job stands on."""
    found: dict[str, Needed] = {}
    queue = list(job.needs)
    while queue:
        name = queue.pop()
        found[name] = done[name]
        queue += [one for one in done[name].needs if one not in found]
    return found


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository."""
    return Repo(tmp_path / "project")


@pytest.fixture
def make_repo() -> type[Repo]:
    """Makes repositories in other places."""
    return Repo


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Starts workers, and stops them after the test."""
    started: list[Driver] = []
    home = Home(tmp_path / "home")
    home.root.mkdir(mode=0o700)

    def start(
        repo: Repo | str | Path,
        *,
        seen: Mapping[str, str] | None = None,
        incarnation: int = 1,
        command: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        **options: object,
    ) -> Driver:
        place = str(repo.folder) if isinstance(repo, Repo) else str(repo)
        driver = Driver(home, {"repo": place, "poll": 0.1, **options}, incarnation=incarnation, command=command, environ=environ)
        started.append(driver)
        driver.tell(Seen(heads=dict(seen or {})))
        return driver

    yield start
    for driver in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.stop()
        if driver.process.poll() is None:
            driver.process.kill()


@pytest.fixture
def once(repo: Repo, drive: Callable[..., Driver]) -> Callable[..., tuple[Driver, dict[str, JobEnded]]]:
    """Commits a workflow, runs all of its jobs and gives the driver and the ends."""

    def run(text: str, *, files: Mapping[str, str] | None = None, **options: object) -> tuple[Driver, dict[str, JobEnded]]:
        repo.commit({".github/workflows/ci.yml": text, **(files or {})})
        driver = drive(repo, **options)
        return driver, driver.run(driver.builds()[0])

    return run
