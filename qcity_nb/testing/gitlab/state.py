"""What the stand-in of GitLab remembers: projects, groups, tokens, runners and their managers, pipelines, jobs.

No HTTP here: routes read and change this, tests too, with the lock held.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

OVER = frozenset({"success", "failed", "canceled", "skipped"})
GOING = frozenset({"running", "canceling"})


@dataclass(kw_only=True)
class Token:
    """A credential of the API. `sees` None: every project and group."""

    value: str
    scopes: frozenset[str]
    sees: frozenset[str] | None
    expires: datetime | None
    limit: int = 2000
    used: int = 0
    reset: datetime | None = None


@dataclass(kw_only=True)
class Group:
    """A group; its registration token is for the classic way."""

    id: int
    path: str
    registration_token: str


@dataclass(kw_only=True)
class Merge:
    """A merge request."""

    id: int
    number: int
    source: str
    target: str
    created: datetime
    title: str = ""
    description: str = ""
    state: str = "opened"


@dataclass(kw_only=True)
class Project:
    """A project, by its path with namespace. `bare`: the repository that git is served from."""

    id: int
    path: str
    registration_token: str
    created: datetime
    default_branch: str = "main"
    refs: dict[str, str] = field(default_factory=dict)
    merges: list[Merge] = field(default_factory=list)
    bare: Path | None = None


@dataclass(kw_only=True)
class System:
    """One process that works for a runner, known by its system id: what GitLab calls a runner manager."""

    id: int
    system_id: str
    created: datetime
    contacted: datetime
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Runner:
    """A runner. `contacted` is what the service wrote down, which it does only now and then; `seen` is when it was really heard."""

    id: int
    kind: str
    description: str
    token: str
    created: datetime
    projects: list[int] = field(default_factory=list)
    group: int | None = None
    tags: list[str] = field(default_factory=list)
    run_untagged: bool = True
    locked: bool = False
    paused: bool = False
    access_level: str = "not_protected"
    maximum_timeout: int | None = None
    note: str | None = None
    token_expires: datetime | None = None
    contacted: datetime | None = None
    seen: datetime | None = None
    info: dict[str, Any] = field(default_factory=dict)
    managers: dict[str, System] = field(default_factory=dict)


@dataclass(kw_only=True)
class Pipeline:
    """A pipeline. Its status follows from its jobs."""

    id: int
    number: int
    project: int
    ref: str
    sha: str
    created: datetime
    source: str = "push"


@dataclass(kw_only=True)
class Job:
    """A job. Running it again makes another one."""

    id: int
    pipeline: int
    project: int
    name: str
    stage: str
    script: list[str]
    tags: list[str]
    token: str
    created: datetime
    status: str = "pending"
    variables: dict[str, str] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    after_script: list[str] = field(default_factory=list)
    image: str | None = None
    repo_url: str = ""
    timeout: int = 3600
    allow_failure: bool = False
    runner: int | None = None
    system_id: str = ""
    queued: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    failure_reason: str | None = None
    exit_code: int | None = None
    trace: bytes = b""
    archive: tuple[str, bytes] | None = None
    retried: bool = False
    graceful: bool = False
    heard: datetime | None = None
    delays: int = 0


@dataclass(kw_only=True)
class Rules:
    """How the service behaves; tests may change any of it at any time. Durations are of the stand-in's clock, `poll` is of real seconds.

    Attributes:
        poll: how long a request for a job is held open.
        contact_refresh: how seldom a contact is written down, so that "online" lags.
        stuck_after: a running job of which nobody was heard for so long fails.
        classic_registration: whether `POST /runners` with a registration token is allowed.
        down_for_runners: requests for jobs get 503.
        completion_delays: how often a finished job is answered with 202 (come again) before 200.
        trace_interval: seconds, told to runners.
        token_life: of runners' tokens; None: for ever.
    """

    poll: float = 0.2
    online_after_contact: timedelta = timedelta(hours=2)
    stale_after: timedelta = timedelta(days=7)
    contact_refresh: timedelta = timedelta(minutes=40)
    stuck_after: timedelta = timedelta(hours=1)
    classic_registration: bool = True
    down_for_runners: bool = False
    completion_delays: int = 0
    trace_interval: int = 3
    token_life: timedelta | None = None


class State:
    """The service's memory."""

    def __init__(self, now: Callable[[], datetime], lock: threading.Condition, root: Callable[[], str]) -> None:
        self.now, self.lock, self.root = now, lock, root
        self.rules = Rules()
        self.flags: list[str] = []
        self.tokens: dict[str, Token] = {}
        self.groups: dict[int, Group] = {}
        self.projects: dict[int, Project] = {}
        self.runners: dict[int, Runner] = {}
        self.pipelines: dict[int, Pipeline] = {}
        self.jobs: dict[int, Job] = {}
        self.ids = itertools.count(1)
        self.queue_value = 1

    def runner_by_token(self, token: str) -> Runner | None:
        """The runner whose token this is and still good."""
        found = next((one for one in self.runners.values() if token and one.token == token), None)
        return None if found is None or (found.token_expires is not None and found.token_expires <= self.now()) else found

    def new_token(self, runner: Runner) -> None:
        """Give a runner a fresh token; the old one is worth nothing from now on."""
        runner.token = "glrt-" + secrets.token_urlsafe(15)
        life = self.rules.token_life
        runner.token_expires = None if life is None else self.now() + life

    def add_runner(self, *, kind: str, description: str, projects: list[int], group: int | None, tags: list[str]) -> Runner:
        """Register."""
        made = Runner(id=next(self.ids), kind=kind, description=description, token="", created=self.now())
        made.projects, made.group, made.tags = projects, group, tags
        self.new_token(made)
        self.runners[made.id] = made
        return made

    def heard(self, runner: Runner, info: dict[str, Any], system_id: str) -> None:
        """A runner is there. Its contact is written down only when the last one is old, as GitLab does to spare its database."""
        now = self.now()
        runner.seen = now
        if info:
            runner.info = info
        if runner.contacted is None or now - runner.contacted >= self.rules.contact_refresh:
            runner.contacted = now
        if system_id:
            manager = runner.managers.setdefault(system_id, System(id=next(self.ids), system_id=system_id, created=now, contacted=now))
            manager.contacted, manager.info = now, info or manager.info

    def status(self, contacted: datetime | None) -> str:
        """online, offline, stale or never_contacted."""
        if contacted is None:
            return "never_contacted"
        since = self.now() - contacted
        if since < self.rules.online_after_contact:
            return "online"
        return "offline" if since < self.rules.stale_after else "stale"

    def reaches(self, runner: Runner, project: Project) -> bool:
        """Whether a runner works for a project."""
        if runner.kind == "instance_type":
            return True
        if runner.kind == "group_type" and runner.group is not None:
            return project.path.startswith(self.groups[runner.group].path + "/")
        return project.id in runner.projects

    def next_job(self, runner: Runner) -> Job | None:
        """The oldest pending job that it may take."""
        for job in self.jobs.values():
            fits = set(job.tags) <= set(runner.tags) if job.tags else runner.run_untagged
            if job.status == "pending" and fits and self.reaches(runner, self.projects[job.project]):
                return job
        return None

    def queue(self, job: Job) -> None:
        """Make a job pending; runners that wait hear of it."""
        job.status, job.queued = "pending", self.now()
        self.queue_value += 1
        self.lock.notify_all()

    def start(self, job: Job, runner: Runner, system_id: str, features: dict[str, Any]) -> None:
        """Give a job to a runner."""
        job.status, job.runner, job.system_id, job.started = "running", runner.id, system_id, self.now()
        job.heard, job.delays = self.now(), self.rules.completion_delays
        job.graceful = bool(features.get("cancel_gracefully") or features.get("cancelable"))

    def finish(self, job: Job, status: str, reason: str | None = None) -> None:
        """A job is over."""
        job.status, job.finished, job.failure_reason = status, self.now(), reason

    def cancel(self, job: Job) -> None:
        """A runner that knows how is asked to end it; otherwise it is over at once."""
        if job.status == "running" and job.graceful:
            job.status = "canceling"
        elif job.status not in OVER:
            self.finish(job, "canceled")

    def again(self, job: Job) -> Job:
        """The same job once more, as another one."""
        kept = {"pipeline": job.pipeline, "project": job.project, "name": job.name, "stage": job.stage, "image": job.image, "timeout": job.timeout}
        lists = {"script": job.script, "tags": job.tags, "artifacts": job.artifacts, "after_script": job.after_script, "variables": job.variables}
        made = Job(id=next(self.ids), token=new_job_token(), created=self.now(), repo_url=job.repo_url, **kept, **lists)  # type: ignore[arg-type]
        made.allow_failure, job.retried = job.allow_failure, True
        self.jobs[made.id] = made
        self.queue(made)
        return made

    def jobs_of(self, pipeline: Pipeline) -> list[Job]:
        """The jobs that count."""
        return [job for job in self.jobs.values() if job.pipeline == pipeline.id and not job.retried]

    def status_of(self, pipeline: Pipeline) -> str:
        """The status of a pipeline."""
        statuses = {"success" if job.status == "failed" and job.allow_failure else job.status for job in self.jobs_of(pipeline)}
        order = ("running", "canceling", "pending", "failed", "canceled", "manual", "success", "skipped")
        return next((status for status in order if status in statuses), "created")

    def settle(self) -> None:
        """What time has done since the last look: running jobs that nobody spoke of fail."""
        for job in self.jobs.values():
            if job.status in GOING and job.heard is not None and self.now() - job.heard >= self.rules.stuck_after:
                self.finish(job, "failed", "stuck_or_timeout_failure")


def new_job_token() -> str:
    """A token for one job."""
    return "glcbt-64_" + secrets.token_urlsafe(15)
