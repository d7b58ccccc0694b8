"""What many jobs tell together: how often each succeeds, how long it waits and takes, and which of them change their mind at one commit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from ..model.work import Outcome, Ran
from .health import percentile

GOOD = (Outcome.SUCCESS.value,)
BAD = (Outcome.FAILURE.value, Outcome.TIMED_OUT.value)
"""A job that was cancelled, skipped, left out or lost says nothing of its code."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One job on one branch.

    Args:
        good, bad: how often it succeeded and failed; other ends are counted in `runs` only.
        flaky: at how many commits it did both: the code was the same, so it was not the code alone.
        commits: at how many it ran at all.
        busy: how long it kept a runner, all runs together.
    """

    name: str
    workflow: str
    ref: str
    runs: int
    good: int
    bad: int
    flaky: int
    commits: int
    waits: tuple[timedelta, ...]
    tooks: tuple[timedelta, ...]

    @property
    def share(self) -> float | None:
        """The share of runs that succeeded among those that say something of the code; None without any."""
        return self.good / (self.good + self.bad) if self.good + self.bad else None

    @property
    def busy(self) -> timedelta:
        """How long it kept a runner, all runs together."""
        return sum(self.tooks, timedelta(0))

    def wait(self, share: float) -> timedelta | None:
        """A percentile of its time in the queue."""
        return percentile(self.waits, share)

    def took(self, share: float) -> timedelta | None:
        """A percentile of its time on a runner."""
        return percentile(self.tooks, share)


def lines(rows: Iterable[Ran]) -> list[Line]:
    """One line for each job of each branch, what fails most first."""
    groups: dict[tuple[str, str, str], list[Ran]] = {}
    for row in rows:
        groups.setdefault((row.workflow, row.name, row.ref), []).append(row)
    found = [_line(mine) for mine in groups.values()]
    return sorted(found, key=lambda one: (1.0 if one.share is None else one.share, -one.flaky, -one.runs, one.name, one.ref))


def branch(ref: str) -> str:
    """A ref as people call it."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _line(rows: list[Ran]) -> Line:
    ends: dict[str, set[bool]] = {}
    for row in rows:
        mine = ends.setdefault(row.sha, set())
        if row.outcome in GOOD:
            mine.add(True)
        elif row.outcome in BAD:
            mine.add(False)
    return Line(
        name=rows[0].name,
        workflow=rows[0].workflow,
        ref=rows[0].ref,
        runs=len(rows),
        good=sum(row.outcome in GOOD for row in rows),
        bad=sum(row.outcome in BAD for row in rows),
        flaky=sum(len(mine) == 2 for mine in ends.values()),
        commits=len(ends),
        waits=tuple(row.wait for row in rows if row.wait is not None),
        tooks=tuple(row.took for row in rows if row.took is not None),
    )
