"""What the stand-in of GitHub remembers: repositories, tokens, runners, runs, jobs; and what time does to them.

No HTTP here: routes read and change this, tests too, with the lock held.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

READ_ONLY = frozenset({"self-hosted", "linux", "windows", "macos", "x64", "arm64", "arm", "x86"})
LOST = "The self-hosted runner lost communication with the server. Verify the machine is running and has a healthy network connection."
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(kw_only=True)
class Token:
    """A credential of the API. `permissions` None: all. `sees` None: every repository and organisation."""

    value: str
    permissions: dict[str, str] | None
    sees: frozenset[str] | None
    expires: datetime | None
    limit: int = 5000
    used: int = 0
    reset: datetime | None = None


@dataclass(kw_only=True)
class Pull:
    """A pull request."""

    id: int
    number: int
    title: str
    body: str
    head: str
    base: str
    created: datetime
    state: str = "open"
    draft: bool = False
    merged: datetime | None = None


@dataclass(kw_only=True)
class Comment:
    """A comment of an issue or a pull request."""

    id: int
    number: int
    body: str
    created: datetime


@dataclass(kw_only=True)
class Repo:
    """A repository: its branches, each a mapping of path to content, and what hangs on it. `bare`: the repository that git is served from."""

    id: int
    owner: str
    name: str
    created: datetime
    private: bool = True
    default_branch: str = "main"
    refs: dict[str, str] = field(default_factory=dict)
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    bare: Path | None = None

    @property
    def full_name(self) -> str:
        """owner/name."""
        return f"{self.owner}/{self.name}"


@dataclass(kw_only=True)
class Group:
    """A runner group of an organisation."""

    id: int
    name: str
    default: bool = False


@dataclass(kw_only=True)
class Download:
    """An archive of the runner, with the checksum that is told."""

    os: str
    architecture: str
    filename: str
    archive: bytes
    sha256: str | None


@dataclass(kw_only=True)
class Runner:
    """A registered runner. `held` makes it busy without a job; `gone_at` is when the service will have forgotten it."""

    id: int
    name: str
    scope: str
    labels: list[str]
    created: datetime
    os: str = "unknown"
    ephemeral: bool = False
    group: int = 1
    version: str | None = None
    secret: str = ""
    seen: datetime | None = None
    session: str | None = None
    session_seen: datetime | None = None
    job: int | None = None
    held: bool = False
    gone_at: datetime | None = None
    messages: deque[dict[str, Any]] = field(default_factory=deque)

    @property
    def busy(self) -> bool:
        """As the API says it."""
        return self.held or self.job is not None


@dataclass(kw_only=True)
class Job:
    """One attempt of a job. `payload` is what a scripted listener is told about it; the platform does not look into it."""

    id: int
    run: int
    attempt: int
    repo: str
    name: str
    labels: tuple[str, ...]
    created: datetime
    status: str = "queued"
    conclusion: str | None = None
    runner: int | None = None
    runner_name: str | None = None
    started: datetime | None = None
    completed: datetime | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""
    payload: Any = None
    locked_until: datetime | None = None
    cancel_asked: bool = False
    session: str | None = None  # to which it was offered
    taken: bool = False  # whether its runner has spoken of it since


@dataclass(kw_only=True)
class Run:
    """A workflow run. Its status follows from its jobs."""

    id: int
    repo: str
    number: int
    name: str
    event: str
    branch: str
    sha: str
    created: datetime
    attempt: int = 1
    path: str = ".github/workflows/ci.yml"


@dataclass(kw_only=True)
class Rules:
    """How the service behaves; tests may change any of it at any time. Durations are of the stand-in's clock, `poll` is of real seconds.

    Attributes:
        offline_after: a runner that was not heard for so long is offline.
        session_life: a session that was not heard for so long does not hinder another one.
        deregister_lag: an ephemeral runner stays listed for so long after its job.
        lock_life: a job whose runner does not renew it for so long is lost.
        poll: how long a question for a message is held open.
        minimum_version: older agents are refused.
        max_skew: an agent that tells a time further off is refused.
    """

    offline_after: timedelta = timedelta(seconds=60)
    session_life: timedelta = timedelta(seconds=60)
    deregister_lag: timedelta = timedelta(0)
    lock_life: timedelta = timedelta(minutes=10)
    persistent_life: timedelta = 14 * DAY
    ephemeral_life: timedelta = DAY
    queue_life: timedelta = DAY
    poll: float = 0.2
    minimum_version: str = ""
    max_skew: timedelta = timedelta(minutes=5)


class State:
    """The service's memory."""

    def __init__(self, now: Callable[[], datetime], lock: threading.Condition, root: Callable[[], str], api: Callable[[], str]) -> None:
        self.now, self.lock, self.root, self.api = now, lock, root, api
        self.rules = Rules()
        self.tokens: dict[str, Token] = {}
        self.repos: dict[str, Repo] = {}
        self.organisations: dict[str, dict[int, Group]] = {}
        self.runners: dict[int, Runner] = {}
        self.runs: dict[int, Run] = {}
        self.jobs: dict[int, Job] = {}
        self.downloads: list[Download] = []
        self.grants: dict[str, tuple[str, str, datetime]] = {}  # registration and remove tokens: value -> (what for, scope, expiry)
        self.signed: dict[str, tuple[int, datetime]] = {}  # log links: value -> (job, expiry)
        self.ids = itertools.count(1)

    def grant(self, purpose: str, scope: str) -> tuple[str, datetime]:
        """A registration or remove token; it is good for an hour."""
        value, expires = "A" + secrets.token_hex(14).upper(), self.now() + HOUR
        self.grants[value] = (purpose, scope, expires)
        return value, expires

    def granted(self, value: str, purpose: str) -> str | None:
        """The scope that a registration or remove token is for, or None."""
        for_what, scope, expires = self.grants.get(value, ("", "", self.now()))
        return scope if for_what == purpose and expires > self.now() else None

    def online(self, runner: Runner) -> bool:
        """Whether it was heard lately."""
        return runner.seen is not None and self.now() - runner.seen < self.rules.offline_after

    def add_runner(self, *, name: str, scope: str, labels: list[str], ephemeral: bool, group: int = 1, os: str = "unknown") -> Runner:
        """Register."""
        number, unique = next(self.ids), list(dict.fromkeys(labels))
        secret = secrets.token_hex(8)
        runner = Runner(id=number, name=name, scope=scope, labels=unique, ephemeral=ephemeral, group=group, os=os, secret=secret, created=self.now())
        self.runners[runner.id] = runner
        return runner

    def runners_of(self, scope: str) -> list[Runner]:
        """Those of a repository or an organisation, by id."""
        return [runner for runner in self.runners.values() if runner.scope.lower() == scope.lower()]

    def next_job(self, runner: Runner) -> Job | None:
        """The oldest queued job that this runner may take."""
        mine = {label.lower() for label in runner.labels}
        for job in self.jobs.values():
            reaches = runner.scope.lower() in {job.repo.lower(), job.repo.partition("/")[0].lower()}
            if job.status == "queued" and reaches and {label.lower() for label in job.labels} <= mine:
                return job
        return None

    def assign(self, job: Job, runner: Runner) -> None:
        """Give a job to a runner."""
        job.status, job.runner, job.runner_name, job.started = "in_progress", runner.id, runner.name, self.now()
        job.locked_until = self.now() + self.rules.lock_life
        runner.job = job.id

    def finish(self, job: Job, conclusion: str) -> None:
        """A job is over; its ephemeral runner will be forgotten."""
        job.status, job.conclusion, job.completed, job.locked_until = "completed", conclusion, self.now(), None
        runner = self.runners.get(job.runner or 0)
        if runner is not None and runner.job == job.id:
            runner.job = None
            if runner.ephemeral:
                runner.gone_at = self.now() + self.rules.deregister_lag

    def jobs_of(self, run: Run, *, attempt: int | None = None) -> list[Job]:
        """The jobs of an attempt, or the newest of each name."""
        jobs = [job for job in self.jobs.values() if job.run == run.id]
        if attempt is not None:
            return [job for job in jobs if job.attempt == attempt]
        return list({job.name: job for job in jobs}.values())

    def status_of(self, run: Run) -> tuple[str, str | None]:
        """Status and conclusion of a run."""
        jobs = self.jobs_of(run)
        if any(job.status == "in_progress" for job in jobs):
            return "in_progress", None
        if not jobs or any(job.status != "completed" for job in jobs):
            return "queued", None
        conclusions = {job.conclusion for job in jobs}
        return "completed", next((word for word in ("failure", "timed_out", "cancelled") if word in conclusions), "success")

    def again(self, job: Job, attempt: int) -> Job:
        """Queue a job once more."""
        fresh = Job(
            id=next(self.ids), run=job.run, attempt=attempt, repo=job.repo, name=job.name, labels=job.labels, created=self.now(), payload=job.payload
        )
        self.jobs[fresh.id] = fresh
        return fresh

    def settle(self) -> None:
        """What time has done since the last look: forgotten runners, lost jobs, jobs that waited too long."""
        now, rules = self.now(), self.rules
        for job in list(self.jobs.values()):
            if job.status == "in_progress" and job.locked_until is not None and job.locked_until <= now:
                job.log += f"##[error]{LOST}\n"
                self.finish(job, "failure")
                runner = self.runners.get(job.runner or 0)
                if runner is not None:
                    runner.gone_at = None  # it may still be there: an ephemeral one is forgotten after its day
            elif job.status == "queued" and now - job.created >= rules.queue_life:
                self.finish(job, "failure")
        for runner in list(self.runners.values()):
            life = rules.ephemeral_life if runner.ephemeral else rules.persistent_life
            unseen = now - (runner.seen or runner.created)
            if (runner.gone_at is not None and runner.gone_at <= now) or (unseen >= life and not runner.busy):
                del self.runners[runner.id]
