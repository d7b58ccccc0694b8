"""The queue: which jobs may begin, on which runner, which are called off, and how a build ended. First in, first out for each runner.

One rule each for needs, matrix limits, concurrency groups and labels, as GitHub documents them; `step` is asked again after every change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..model.wire import Needed
from ..model.work import Build, Job, Outcome, Status

LIVE = (Status.ASSIGNED, Status.RUNNING)
FAILED = (Outcome.FAILURE, Outcome.TIMED_OUT, Outcome.LOST)


@dataclass(frozen=True, kw_only=True)
class RunnerView:
    """What the queue has to know of a runner. `open` means that it takes new jobs now."""

    name: str
    labels: frozenset[str]
    slots: int
    open: bool


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A job's needs are over: it may run when there is a slot. `why` says what it still waits for, if anything."""

    job: int
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Expand:
    """A job's matrix can be told now that its needs are over."""

    job: int
    outputs: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Assign:
    """Give a job to a runner, with what its ancestors left."""

    job: int
    runner: str
    needs: Mapping[str, Needed]


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A job without a condition of its own whose needs did not all succeed is skipped."""

    job: int
    why: str


@dataclass(frozen=True, kw_only=True)
class CallOff:
    """A job is not wanted any more."""

    job: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Close:
    """All jobs of a build are over."""

    build: int
    outcome: Outcome


Intent = Ready | Expand | Assign | Skip | CallOff | Close


@dataclass
class _Taken:
    """What is used up while one step goes through the jobs: slots, groups, legs of a matrix."""

    free: dict[str, int]
    held: dict[tuple[str, str], int]
    legs: Counter[tuple[int, str]]


def step(builds: Sequence[Build], jobs: Sequence[Job], runners: Mapping[str, RunnerView]) -> list[Intent]:
    """What to do now about the open builds, oldest first."""
    of_build: dict[int, list[Job]] = {build.id: [] for build in builds}
    for job in jobs:
        of_build.setdefault(job.build, []).append(job)
    intents: list[Intent] = []
    off = _superseded(builds, of_build)
    held = _held_groups(builds, jobs)
    free = {name: view.slots - _running_on(name, jobs) for name, view in runners.items()}
    legs = Counter((job.build, job.plan.key) for job in jobs if job.status in LIVE)
    taken = _Taken(free=free, held=held, legs=legs)
    for build in builds:
        mine = of_build[build.id]
        if all(job.status is Status.DONE for job in mine):
            intents.append(Close(build=build.id, outcome=outcome_of(mine)))
            continue
        wanted = {**{job.id: off[build.id] for job in mine if build.id in off}, **_failed_fast(mine)}
        for job in mine:
            if job.status is Status.DONE or job.cancel:
                continue
            if job.id in wanted:
                intents.append(CallOff(job=job.id, why=wanted[job.id]))
            elif job.status in (Status.WAITING, Status.QUEUED):
                intents += _next(build, job, mine, runners.get(build.runner), taken)
    return intents


def outcome_of(jobs: Sequence[Job]) -> Outcome:
    """A build's outcome: the worst of its jobs'; work that was left out never makes a build green."""
    seen = {Outcome.SUCCESS if forgiven(job) else job.outcome for job in jobs}
    worst = (Outcome.FAILURE, Outcome.TIMED_OUT, Outcome.LOST, Outcome.CANCELLED, Outcome.NOT_RUN, Outcome.SUCCESS)
    return next((one for one in worst if one in seen), Outcome.SKIPPED if seen else Outcome.SUCCESS)


def forgiven(job: Job) -> bool:
    """Whether a job failed and its file allows it to. A runner that died under it is not the job's failure, and is never forgiven."""
    return job.plan.allow_failure and job.outcome in (Outcome.FAILURE, Outcome.TIMED_OUT)


def ancestors(job: Job, mine: Sequence[Job]) -> dict[str, Needed]:
    """How everything that a job needs, directly or not, ended: legs of one matrix count as one job, their last outputs win."""
    found: dict[str, Needed] = {}
    ahead = list(job.plan.needs)
    while ahead:
        key = ahead.pop()
        legs = [one for one in mine if one.plan.key == key]
        if key in found or not legs:
            continue
        outputs = {name: value for one in legs for name, value in one.outputs.items() if value}
        found[key] = Needed(outcome=outcome_of(legs), outputs=outputs, needs=legs[0].plan.needs)
        ahead += legs[0].plan.needs
    return found


def _next(build: Build, job: Job, mine: Sequence[Job], runner: RunnerView | None, taken: _Taken) -> list[Intent]:
    needed = [one for one in mine if one.plan.key in job.plan.needs]
    if any(one.status is not Status.DONE for one in needed):
        return []
    before = ancestors(job, mine)
    unwanted = _unwanted(job, before)
    if unwanted:
        return [Skip(job=job.id, why=unwanted)]
    if job.plan.dynamic:
        return [Expand(job=job.id, outputs={key: need.outputs for key, need in before.items()})]
    ready = [Ready(job=job.id)] if job.status is Status.WAITING else []
    if runner is None or not runner.open:
        return [*ready]
    missing = sorted({label.lower() for label in job.plan.labels} - runner.labels)
    if missing:
        why = f"waits for a runner with the label {', '.join(missing)}"
        return [Ready(job=job.id, why=why)] if job.reason != why else []
    leg = (job.build, job.plan.key)
    crowded = job.plan.max_parallel is not None and taken.legs[leg] >= job.plan.max_parallel
    if crowded or taken.free[runner.name] <= 0 or not _may_hold(build, job, taken.held):
        return [*ready]
    taken.free[runner.name] -= 1
    taken.legs[leg] += 1
    if job.plan.group:
        taken.held[build.runner, job.plan.group] = job.id
    return [*ready, Assign(job=job.id, runner=runner.name, needs=before)]


def _unwanted(job: Job, before: Mapping[str, Needed]) -> str:
    """Why a job is skipped, now that all it needs is over; empty when it is not, or when its executor has to be asked."""
    ends = [(key, before[key].outcome) for key in job.plan.needs if key in before]
    if job.plan.condition == "on_failure":
        return "" if any(outcome in FAILED for _, outcome in ends) else "it runs only if something before it failed"
    fine = (Outcome.SUCCESS, Outcome.SKIPPED) if job.plan.condition == "no_failure" else (Outcome.SUCCESS,)
    if job.plan.unconditional or job.plan.condition:
        for key, outcome in ends:
            if outcome not in fine:
                return f'it needs "{key}", which ended: {outcome.value.replace("_", " ")}'
    return ""


def _running_on(runner: str, jobs: Sequence[Job]) -> int:
    return sum(job.runner == runner and job.status in LIVE for job in jobs)


def _failed_fast(mine: Sequence[Job]) -> dict[int, str]:
    """Legs whose sibling failed while their matrix asks to fail fast."""
    bad = [job for job in mine if job.outcome in (Outcome.FAILURE, Outcome.TIMED_OUT) and not forgiven(job)]
    failed = {job.plan.key: job.plan.name for job in bad if job.plan.fail_fast}
    return {job.id: f"{failed[job.plan.key]} failed, and the matrix asks to fail fast" for job in mine if job.plan.key in failed and job.plan.leg}


def _begun(jobs: Sequence[Job]) -> bool:
    return any(job.status in LIVE or (job.status is Status.DONE and job.outcome is not Outcome.NOT_RUN) for job in jobs)


def _superseded(builds: Sequence[Build], of_build: Mapping[int, Sequence[Job]]) -> dict[int, str]:
    """Builds that a newer one of their group takes the place of: waiting ones always, begun ones if the newer one asks for it."""
    off: dict[int, str] = {}
    newest: dict[tuple[str, str], Build] = {}
    for build in reversed(builds):
        if not build.plan.group:
            continue
        group = (build.runner, build.plan.group)
        newer = newest.setdefault(group, build)
        if newer is not build and (newer.plan.cancel_in_progress or not _begun(of_build[build.id])):
            off[build.id] = f"build {newer.id} of the group {build.plan.group} took its place"
    return off


def _held_groups(builds: Sequence[Build], jobs: Sequence[Job]) -> dict[tuple[str, str], int]:
    """Who holds each concurrency group: build ids (negative, to keep them apart) for workflows' groups, job ids for jobs'."""
    runner_of = {build.id: build.runner for build in builds}
    held: dict[tuple[str, str], int] = {}
    for job in jobs:
        if job.plan.group and job.status in LIVE and job.build in runner_of:
            held[(runner_of[job.build], job.plan.group)] = job.id
    for build in builds:
        if build.plan.group and _begun([job for job in jobs if job.build == build.id]):
            held.setdefault((build.runner, build.plan.group), -build.id)
    return held


def _may_hold(build: Build, job: Job, held: dict[tuple[str, str], int]) -> bool:
    if build.plan.group and held.setdefault((build.runner, build.plan.group), -build.id) != -build.id:
        return False
    return not job.plan.group or (build.runner, job.plan.group) not in held
