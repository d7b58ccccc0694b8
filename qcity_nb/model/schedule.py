"""Schedules, which say when, and runs: one execution of a notebook each, planned before it begins and never forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from .service import Sandbox


class CatchUp(Enum):
    """What becomes of moments that passed while nobody was there to start anything."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class RunState(Enum):
    """Where a run stands."""

    PLANNED = "planned"  # its moment has come, it waits for room
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # a cell, its kernel, or its time
    CANCELLED = "cancelled"
    LOST = "lost"  # its worker died as often as it may
    MISSED = "missed"  # nobody was there, and the schedule does not catch up

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self not in (RunState.PLANNED, RunState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a run that failed is tried again, and how long after: `base` doubled each time, at most `cap`, give or take `jitter` of it."""

    times: int = 0
    base: timedelta = timedelta(seconds=30)
    cap: timedelta = timedelta(hours=1)
    jitter: float = 0.2


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run executes. It is copied into each run, so that a schedule that is changed later changes nothing of what was planned.

    Args:
        notebook: its path, absolute.
        parameters: for the cell tagged `parameters`; never a secret.
        kernel: empty for the one that the notebook names.
        timeout: for the whole run.
        cell_timeout: for each cell.
        secrets: names of tokens that were kept; the kernel finds each in the environment, under its name in capitals.
        output: where the executed notebook is copied to; empty leaves it with the run.
        park: how long the kernel of a run that failed is kept, so that it can go on from the failed cell.
        compare: whether the outputs are held against those of the last run that was done.
        executor: where its kernel lives: empty for this machine, `dask` for a cluster of its own here, `dask://HOST:PORT` for one that stands,
            `place:NAME` for a place.
        sandbox: the weakest sandbox to accept for the kernel; `none` runs it as the engine's own user, with all that it may.
        network: whether a sandboxed kernel reaches the network.
    """

    notebook: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    kernel: str = ""
    retry: Retry = Retry()
    timeout: timedelta | None = None
    cell_timeout: timedelta | None = None
    secrets: tuple[str, ...] = ()
    output: str = ""
    park: timedelta = timedelta(minutes=10)
    compare: bool = False
    executor: str = ""
    sandbox: Sandbox = Sandbox.NONE
    network: bool = False


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a notebook runs, and how.

    Args:
        cron: five fields, or six with seconds first, as Debian's cron reads them; empty for a schedule of one moment, which `once` is.
        zone: an IANA time zone; the fields are its wall clock's.
        max_parallel: how many runs of it there may be at once.
        stale: a moment that is older when it is noticed is missed even if the schedule catches up; None means never.
        spread: up to how much later than its moment a run begins, drawn from the moment and the name.
        shared: every place of the store may run it, where the notebook is there; else this place only.
    """

    name: str
    plan: RunPlan
    cron: str = ""
    once: datetime | None = None
    zone: str = "UTC"
    max_parallel: int = 1
    catch_up: CatchUp = CatchUp.LATEST
    stale: timedelta | None = None
    spread: timedelta = timedelta(0)
    paused: bool = False
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time at which a schedule asks for a run: `at` in UTC, `start` with its spread, and whether the run is to be had or is missed already."""

    at: datetime
    start: datetime
    missed: bool = False


class CellState(Enum):
    """Where a cell stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A code cell of a run: its number in the notebook, counted from 1 over all cells, and its title."""

    number: int
    title: str
    state: CellState = CellState.PENDING
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Live:
    """A run that is under way: the number of its cell, of how many, since when, the end of what the cell printed, and its progress bar's share."""

    cell: int
    cells: int
    title: str
    since: datetime
    tail: str = ""
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A try that is over and did not end the run."""

    number: int
    state: RunState
    reason: str
    started: datetime | None
    finished: datetime


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as the store knows it.

    `key` is unique: two who ask for the same get one run. `at` is the moment that it is for, `start` when it may begin. `owner` is the place that has
    it, by the number `epoch`, until `until`; who has lost it can say no more about it. `losses` counts workers that died under it.
    """

    id: int
    schedule: str
    key: str
    plan: RunPlan
    at: datetime
    start: datetime
    state: RunState
    attempt: int = 1
    losses: int = 0
    owner: str = ""
    epoch: int = 0
    until: datetime | None = None
    token: str = ""
    incarnation: int = 0
    reason: str = ""
    planned: datetime
    started: datetime | None = None
    finished: datetime | None = None
    live: Live | None = None
    cells: tuple[Cell, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    cell: int | None = None  # the number of the cell that it failed in
    parked: datetime | None = None  # until when its kernel is kept
    resumes: int | None = None  # the run whose kernel it goes on with
    output: str = ""  # the executed notebook, below the home
    sandbox: str = ""  # the level of the one that its kernel is in
    changed: str = ""  # what differs from the run before, when that was asked for
    cancel: str = ""
