"""Schedules, which say when, and runs: one execution of a notebook each, planned before it begins and never forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum


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
class Schedule:
    """When a notebook runs, and how.

    Args:
        cron: five fields, or six with seconds first, as Debian's cron reads them.
        zone: an IANA time zone; the fields are its wall clock's.
        max_parallel: how many runs of it there may be at once.
        stale: a moment that is older when it is noticed is missed even if the schedule catches up; None means never.
        spread: up to how much later than its moment a run begins, drawn from the moment and the name.
    """

    name: str
    notebook: str
    cron: str
    zone: str = "UTC"
    parameters: Mapping[str, object] = field(default_factory=dict)
    retry: Retry = Retry()
    timeout: timedelta | None = None
    max_parallel: int = 1
    catch_up: CatchUp = CatchUp.LATEST
    stale: timedelta | None = None
    spread: timedelta = timedelta(0)
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time at which a schedule asks for a run: `at` in UTC, `start` with its spread, and whether the run is to be had or is missed already."""

    at: datetime
    start: datetime
    missed: bool = False
