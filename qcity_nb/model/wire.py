"""What the engine and a runner's worker tell each other, one JSON line each, in files that outlive both.

Orders go down, facts come up. Either side may see a line twice after a crash: every one of them is safe to repeat.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from .work import Annotation, Artifact, BuildPlan, JobPlan, Outcome, Step


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """How a job that another one needs ended, with its outputs and its own needs (act is shown all ancestors)."""

    outcome: Outcome
    outputs: dict[str, str] = {}
    needs: tuple[str, ...] = ()


class RunJob(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run this job now. `token` is unique for one attempt; a worker that knows it already ignores the line."""

    token: str
    job: int
    attempt: int
    build: int
    sha: str
    ref: str
    workflow: str
    executor: str
    plan: JobPlan
    needs: dict[str, Needed] = {}


class CancelJob(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """End this attempt: `always()` steps get their chance, then everything of it is killed. The outcome reported is `outcome`."""

    token: str
    reason: str
    outcome: Outcome = Outcome.CANCELLED


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag="seen"):
    """The commits that builds exist for already, per ref: sent first, so that a new worker starts where the last one was."""

    heads: dict[str, str]


Order = RunJob | CancelJob | Seen


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The worker is up. `sandbox` is the level it proved; `missing` says in words what keeps it from `full`."""

    sandbox: str
    missing: str = ""


class BuildFound(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """A commit asks for this build."""

    plan: BuildPlan


class JobBegan(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """An attempt runs, under this sandbox level; `log` is the path of its log below the home."""

    token: str
    at: datetime
    sandbox: str
    log: str


class JobMoved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    """Steps and annotations of a running attempt so far."""

    token: str
    steps: tuple[Step, ...]
    annotations: tuple[Annotation, ...] = ()


class JobEnded(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """An attempt is over and nothing of it lives."""

    token: str
    at: datetime
    outcome: Outcome
    reason: str = ""
    steps: tuple[Step, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    leftovers: int = 0


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="trouble"):
    """Something outside the jobs is wrong (the repository cannot be reached, a disk is full); empty text means it is well again."""

    about: str
    text: str


Fact = Hello | BuildFound | JobBegan | JobMoved | JobEnded | Trouble
