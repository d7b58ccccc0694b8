"""Jobs and builds: what ran, what it said, run it again, wait for it. A `Job` is a live handle; each look is one read of the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..decide.health import Level
from ..decide.wording import did_you_mean, line, span, visible
from ..errors import EngineError, NotFound
from ..io.files import tail
from ..model.work import Build, Outcome, Status
from ..store import work
from ..store.work import JobRow
from .health import Painter
from .link import Link, now
from .tables import Html, Shown, clock, facts, frame, mark, table

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 200

COLUMNS = {
    "id": "whole",
    "build": "whole",
    "name": "text",
    "status": "text",
    "outcome": "text",
    "attempt": "whole",
    "runner": "text",
    "sandbox": "text",
    "queued": "moment",
    "started": "moment",
    "finished": "moment",
    "wait_s": "number",
    "duration_s": "number",
    "failing_step": "text",
    "reason": "text",
}
BUILD_COLUMNS = {
    "id": "whole",
    "runner": "text",
    "workflow": "text",
    "name": "text",
    "sha": "text",
    "ref": "text",
    "subject": "text",
    "attempt": "whole",
    "created": "moment",
    "finished": "moment",
    "outcome": "text",
}

_LEVELS = {
    Outcome.SUCCESS: Level.WELL,
    Outcome.SKIPPED: Level.OFF,
    Outcome.CANCELLED: Level.OFF,
    Outcome.NOT_RUN: Level.WARN,
    Outcome.LOST: Level.REPAIRING,
}


def level_of(status: Status, outcome: Outcome | None) -> Level:
    """How a job stands, as one of the levels of health."""
    if outcome is None:
        return Level.WARN if status is Status.RUNNING else Level.OFF
    return _LEVELS.get(outcome, Level.BAD)


def word_of(status: Status, outcome: Outcome | None) -> str:
    """How a job stands, in one word or two."""
    return (outcome.value if outcome else status.value).replace("_", " ")


def duration(row: JobRow) -> timedelta | None:
    """How long its last attempt has run."""
    if row.started is None:
        return None
    return (row.finished or now()) - row.started


def waited(row: JobRow) -> timedelta | None:
    """How long it stood in the queue."""
    return max(row.started - row.queued, timedelta(0)) if row.started and row.queued else None


def failing_step(row: JobRow) -> str:
    """The first step that did not end well, as `step 2 "unit tests"`; empty when none is known."""
    for step in row.steps:
        if step.outcome in (Outcome.FAILURE, Outcome.TIMED_OUT):
            return f'step {step.number} "{line(step.name)}"'
    return ""


class Job(Shown):
    """One job, as it is whenever it is looked at."""

    def __init__(self, link: Link, id_: int) -> None:
        self._link, self.id = link, id_

    @property
    def row(self) -> JobRow:
        """What the store knows."""
        with self._link.read() as connection:
            row = work.get_job(connection, self._link.place, self.id)
        if row is None:
            raise NotFound(f"there is no job {self.id} any more", "qcity job list shows those there are")
        return row

    @property
    def status(self) -> Status:
        """Where it stands."""
        return self.row.status

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it has not."""
        return self.row.outcome

    @property
    def log(self) -> Path | None:
        """The file with what its last attempt printed."""
        row = self.row
        return self._link.store.home.root / row.log if row.log else None

    def logs(self, lines: int = 200) -> str:
        """The last lines of what it printed."""
        path = self.log
        return visible("\n".join(tail(path, lines=lines))) if path else ""

    def rerun(self) -> list[Job]:
        """Run it again, with what comes after it; the new jobs."""
        result = self._link.ask("job.rerun", str(self.id))
        return [Job(self._link, int(id_)) for id_ in result.get("jobs", ())]

    def cancel(self, reason: str = "asked by a person") -> Job:
        """End it; its `always()` steps get their chance first."""
        self._link.ask("job.cancel", str(self.id), {"reason": reason})
        return self

    def wait(self, timeout: float = 3600.0) -> Job:
        """Wait until it is over. Raises `EngineError` when that takes longer."""
        for _ in self._link.until(timeout):
            if self.row.status is Status.DONE:
                return self
        raise EngineError(f"job {self.id} is not over after {span(timeout)}", f"qcity job show {self.id} says where it stands", permanent=False)

    def __repr__(self) -> str:
        row = self.row
        return f"<Job {row.id} · {line(row.plan.name, limit=60)} · {word_of(row.status, row.outcome)}>"

    def _html(self) -> str:
        row = self.row
        steps = ", ".join(f"{step.name} ({word_of(Status.RUNNING, step.outcome)})" for step in row.steps)
        pairs: list[tuple[str, object]] = [
            ("is", Html(mark(level_of(row.status, row.outcome), word_of(row.status, row.outcome)))),
            ("why", row.reason),
            ("failed at", failing_step(row)),
            ("build", row.build),
            ("runner", row.runner),
            ("sandbox", row.sandbox),
            ("took", span(duration(row))),
            ("steps", steps),
            ("artifacts", ", ".join(artifact.name for artifact in row.artifacts)),
            ("said", "; ".join(f"{note.level}: {note.message}" for note in row.annotations)),
        ]
        return facts(f"Job {row.id}: {row.plan.name}", pairs)


class Jobs(Shown):
    """The newest jobs of a place; `jobs[12]` is the one with that number."""

    def __init__(self, link: Link, painter: Painter) -> None:
        self._link, self._painter = link, painter

    def rows(self, *, limit: int = LIMIT) -> list[JobRow]:
        """What the store knows of them, oldest first."""
        with self._link.read() as connection:
            return work.latest_jobs(connection, self._link.place, limit=limit)

    def wait(self, timeout: float = 3600.0, *, at_least: int = 0) -> Jobs:
        """Wait until nothing is waiting, queued or running. Raises `EngineError` when that takes longer.

        Args:
            at_least: how many jobs there have to be, for a commit that no runner has seen yet.
        """
        for _ in self._link.until(timeout):
            with self._link.read() as connection:
                there = len(work.latest_jobs(connection, self._link.place, limit=max(1, at_least)))  # before: a build that comes in between is open
                over = there >= at_least and not work.open_builds(connection, self._link.place)
            if over:
                return self
        left = [row for row in self.rows() if row.status is not Status.DONE]
        names = ", ".join(f"{row.id} {line(row.plan.name, limit=40)} ({row.status.value})" for row in left[:3])
        names = names or f"there are {len(self.rows())} of {at_least}"
        raise EngineError(f"jobs are not over after {span(timeout)}: {names}", "qcity job list shows them", permanent=False)

    def frame(self) -> pd.DataFrame:
        """The newest jobs as a pandas frame; times are UTC."""
        return frame(COLUMNS, [record(row) for row in self.rows()])

    def gantt(self) -> Any:
        """A plotly figure: when which job ran. Raises `NotFound` when none has."""
        found = self.frame()
        if found["started"].isna().all():
            raise NotFound("no job has begun yet, so there is nothing to plot", "qcity job list shows what is queued")
        return self._painter.gantt_figure(found)

    def gantt_static(self) -> Html:
        """The same picture as HTML without script."""
        return Html(self._painter.gantt_html(self.frame()))

    def __getitem__(self, id_: int) -> Job:
        rows: list[str] = []
        with self._link.read() as connection:
            found = work.get_job(connection, self._link.place, id_) if isinstance(id_, int) and 0 < id_ < 1 << 31 else None
            if found is None:
                rows = [str(row.id) for row in work.latest_jobs(connection, self._link.place, limit=8)]
        if found is None:
            raise NotFound(f"there is no job {line(str(id_), limit=40)}", did_you_mean(str(id_), rows, what="job"))
        return Job(self._link, id_)

    def __iter__(self) -> Iterator[Job]:
        return iter([Job(self._link, row.id) for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def __contains__(self, id_: object) -> bool:
        return any(row.id == id_ for row in self.rows())

    def _ipython_key_completions_(self) -> list[int]:
        return [row.id for row in self.rows()]

    def __repr__(self) -> str:
        shown = [f"{row.id} {line(row.plan.name, limit=60)}: {word_of(row.status, row.outcome)}" for row in self.rows(limit=20)]
        return "\n".join(shown) or "no job yet"

    def _html(self) -> str:
        rows = [
            (
                row.id,
                Html(mark(level_of(row.status, row.outcome), word_of(row.status, row.outcome))),
                line(row.plan.name),
                row.runner,
                span(duration(row)),
                failing_step(row) or line(row.reason),
            )
            for row in self.rows(limit=20)
        ]
        return table("", ("job", "is", "name", "runner", "took", ""), rows, empty="No job yet: commit something.")


class Builds(Shown):
    """The newest builds: one workflow file at one commit each."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def rows(self, *, limit: int = 50) -> list[Build]:
        """What the store knows of them, oldest first."""
        with self._link.read() as connection:
            return work.latest_builds(connection, self._link.place, limit=limit)

    def frame(self) -> pd.DataFrame:
        """The newest builds as a pandas frame; times are UTC."""
        return frame(BUILD_COLUMNS, [_build_record(build) for build in self.rows()])

    def __getitem__(self, id_: int) -> Build:
        with self._link.read() as connection:
            found = work.get_build(connection, id_)
        if found is None:
            raise NotFound(f"there is no build {id_}", did_you_mean(str(id_), [str(build.id) for build in self.rows(limit=8)], what="build"))
        return found

    def __iter__(self) -> Iterator[Build]:
        return iter(self.rows())

    def __len__(self) -> int:
        return len(self.rows())

    def __repr__(self) -> str:
        return "\n".join(_build_line(build) for build in self.rows(limit=20)) or "no build yet"

    def _html(self) -> str:
        rows = [
            (
                build.id,
                Html(mark(level_of(Status.RUNNING, build.outcome), word_of(Status.RUNNING, build.outcome))),
                build.plan.workflow,
                f"{build.plan.sha[:7]} {line(build.plan.subject, limit=60)}",
                clock(build.created),
            )
            for build in self.rows(limit=20)
        ]
        return table("", ("build", "is", "workflow", "commit", "found (UTC)"), rows, empty="No build yet: commit something.")


def record(row: JobRow) -> dict[str, Any]:
    """A job as one line of a frame."""
    wait, took = waited(row), duration(row)
    return {
        "id": row.id,
        "build": row.build,
        "name": row.plan.name,
        "status": row.status.value,
        "outcome": row.outcome.value if row.outcome else None,
        "attempt": row.attempt,
        "runner": row.runner,
        "sandbox": row.sandbox,
        "queued": row.queued,
        "started": row.started,
        "finished": row.finished,
        "wait_s": wait.total_seconds() if wait is not None else None,
        "duration_s": took.total_seconds() if took is not None else None,
        "failing_step": failing_step(row),
        "reason": row.reason,
    }


def _build_record(build: Build) -> dict[str, Any]:
    plan = build.plan
    outcome = build.outcome.value if build.outcome else None
    row = {"id": build.id, "runner": build.runner, "attempt": build.attempt, "created": build.created, "finished": build.finished, "outcome": outcome}
    return row | {"workflow": plan.workflow, "name": plan.name, "sha": plan.sha, "ref": plan.ref, "subject": plan.subject}


def _build_line(build: Build) -> str:
    return f"{build.id} {build.plan.workflow} {build.plan.sha[:7]} {line(build.plan.subject, limit=50)}: {word_of(Status.RUNNING, build.outcome)}"
