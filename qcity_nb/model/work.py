"""CI work: a build is one workflow file at one commit; a job is one job of it (one matrix leg), the unit that is queued, run and re-run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum


class Status(Enum):
    """Where a job stands in its life."""

    WAITING = "waiting"  # its needs are not done
    QUEUED = "queued"  # it may run as soon as a slot is free
    ASSIGNED = "assigned"  # ordered from a runner, not yet begun
    RUNNING = "running"
    DONE = "done"


class Outcome(Enum):
    """How a job, a step or a build ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    LOST = "lost"  # its runner died under it
    NOT_RUN = "not_run"  # this machine cannot run it; `reason` says why

    @property
    def green(self) -> bool:
        """Whether work that needs this one may go on."""
        return self in (Outcome.SUCCESS, Outcome.SKIPPED)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a job as its executor reported it."""

    number: int
    name: str
    outcome: Outcome | None = None  # None while it runs
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A warning, error or notice that a step printed as a workflow command."""

    level: str
    message: str
    file: str = ""
    line: int | None = None
    step: str = ""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Files that a job gave away: a folder under the home's `artifacts/`, its total size in bytes and the number of files."""

    name: str
    path: str
    size: int
    files: int


DEFAULT_TIMEOUT = timedelta(hours=6)
"""What a job gets that names no timeout; GitHub's own figure."""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """A job as its workflow file asks for it, before it is queued. `refusal` says why this machine leaves it out."""

    key: str
    name: str
    leg: Mapping[str, object] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    timeout: timedelta = DEFAULT_TIMEOUT
    fail_fast: bool = True
    max_parallel: int | None = None
    group: str = ""
    cancel_in_progress: bool = False
    unconditional: bool = False  # it has no condition of its own: unless all its needs succeeded it is skipped, and nobody has to be asked
    condition: str = ""  # "on_failure": only if something it needs failed; "no_failure": unless it did, and what was skipped does not count
    allow_failure: bool = False  # its failure stops nothing that needs it and does not make the build red
    retries: int = 0  # how often a failed run of it is tried again before that counts
    dynamic: str = ""  # a matrix that only the outputs of its needs can tell
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What one commit asks of one workflow file. `executor` is `act` or `gitlab-ci-local`; `problem` is set when the file cannot be used."""

    sha: str
    ref: str
    workflow: str
    name: str
    subject: str = ""
    author: str = ""
    executor: str = "act"
    group: str = ""
    cancel_in_progress: bool = False
    jobs: tuple[JobPlan, ...] = ()
    problem: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the store knows it."""

    id: int
    build: int
    plan: JobPlan
    status: Status
    outcome: Outcome | None = None
    attempt: int = 1
    runner: str = ""
    incarnation: int = 0
    reason: str = ""
    sandbox: str = ""
    queued: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    steps: tuple[Step, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    log: str = ""
    cancel: str = ""  # why it is being cancelled, when it is


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build as the store knows it, without its jobs."""

    id: int
    runner: str
    plan: BuildPlan
    attempt: int
    created: datetime
    finished: datetime | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A job that ended, as a history of many shows it: what it was, at which commit, and how it went."""

    id: int
    name: str
    workflow: str
    ref: str
    sha: str
    runner: str
    outcome: str
    queued: datetime | None
    started: datetime | None
    finished: datetime | None

    @property
    def wait(self) -> timedelta | None:
        """How long it stood in the queue."""
        return max(self.started - self.queued, timedelta(0)) if self.started and self.queued else None

    @property
    def took(self) -> timedelta | None:
        """How long its last attempt ran."""
        return max(self.finished - self.started, timedelta(0)) if self.started and self.finished else None
