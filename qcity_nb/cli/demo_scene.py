"""The acts of the demo, each asserted on rows of the store: nothing is said to have happened that was not recorded."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from ..client.city import QCity
from ..client.jobs import Job, duration, failing_step, level_of, word_of
from ..client.runners import Runner
from ..client.view import look
from ..decide.wording import count, line, span
from ..demo import repository
from ..errors import QCityError
from ..model.work import Outcome, Status
from ..store.history import Incident
from ..store.work import JobRow
from .demo_stage import Stage

T = TypeVar("T")
SECONDS = 60.0
VICTIM = "test"


class NotSeen(QCityError):
    """Something that the demo shows did not happen in its time."""


@dataclass
class Scene:
    """What the acts share; `pids` are all processes that were seen, to be looked for at the end."""

    city: QCity
    stage: Stage
    folder: Path
    end: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    pids: set[int] = field(default_factory=set)

    def wait(self, what: str, probe: Callable[[], T | None]) -> T:
        """What `probe` finds, as soon as it finds something. Raises `NotSeen` when the demo's time is over."""
        for _ in self.city.link.until(max(0.0, self.end - time.monotonic())):
            if (found := probe()) is not None:
                return found
        todo = "The folder is kept: qcity --home HOME status and doctor say more".replace("HOME", str(self.city.home))
        raise NotSeen(f"not seen within {SECONDS:.0f} s: {what}", todo)

    def jobs(self, sha: str = "") -> list[JobRow]:
        """The jobs of the newest build (of a commit)."""
        builds = [build for build in self.city.builds.rows() if build.plan.sha == sha or not sha]
        return [row for row in self.city.jobs.rows() if builds and row.build == builds[-1].id]

    def show(self, rows: list[JobRow]) -> None:
        """The jobs in the line that moves."""
        running = [row for row in rows if row.status is Status.RUNNING]
        text = " ".join(f"{line(row.plan.name, limit=30)} {_glyph(row)}" for row in rows if row.status is Status.DONE or row in running)
        self.stage.progress(text or "waiting for the runner to see the commit", moving=span(duration(running[-1])) if running else "")


def play(scene: Scene) -> Path:
    """All acts; the report's path. Raises `NotSeen` for the first thing that did not happen."""
    stage, city = scene.stage, scene.city
    path = scene.folder / "repository"
    commits = repository.make(path)
    stage.line("✔", "repository", f"{count(commits, 'commit')}, 1 workflow, 3 jobs (one of them twice)")
    begin = time.monotonic()
    city.link.ensure()
    pid = scene.wait("the engine's lease", lambda: look(city.link.store, uptime=False).engine.pid)
    scene.pids.add(pid)
    took = span(time.monotonic() - begin)
    stage.line("✔", "engine", f"up in {took} (pid {pid}, its own session: it survives your terminal and your kernel)")
    runner = city.runners.start("local", repo=path)
    sandbox = scene.wait("the sandbox level that the runner proved", lambda: runner.sandbox or None)
    stage.line("✔", "runner", f"{runner.name} online · sandbox {sandbox} ({_sandbox(sandbox)})")
    incident = _kill_and_mend(scene, runner)
    _all_green(scene, incident)
    _break(scene, path)
    return _finish(scene, runner)


def _kill_and_mend(scene: Scene, runner: Runner) -> Incident:
    """Kill the worker in the middle of a job; the incident, when it is over."""

    def in_the_middle() -> JobRow | None:
        rows = scene.jobs()
        scene.show(rows)
        for row in rows:
            began = any(step.name == "slow tests" for step in row.steps)
            if row.plan.key == VICTIM and row.status is Status.RUNNING and began:
                return row
            if row.outcome is not None and not row.outcome.green:
                raise _not_green(scene, row)
        return None

    victim = scene.wait(f'job "{VICTIM}" in the middle of its work', in_the_middle)
    row = runner.row
    if row.pid is None or row.state.incarnation != victim.incarnation:
        raise NotSeen(f"the process of {runner.name} is not the one that runs the job", "qcity runner show says which it is")
    scene.pids.add(row.pid)
    os.kill(row.pid, signal.SIGKILL)
    killed = datetime.now(timezone.utc)
    scene.stage.still()
    stage = scene.stage
    opened = scene.wait("the engine's incident", lambda: next((item for item in scene.city.incidents.rows() if item.service == runner.name), None))
    after = f"noticed after {span(opened.opened - killed)}" if opened.opened > killed else "noticed at once"
    stage.line("✖", f"{killed.astimezone():%H:%M:%S}", f'runner {runner.name} died in the middle of "{VICTIM}" (killed by signal 9; {after})')
    stage.more("cause", opened.cause)

    def mended() -> Incident | None:
        scene.show(scene.jobs())
        row = scene.city.incidents[opened.id].row
        return row if row.closed is not None else None

    incident = scene.wait("the incident's proof", mended)
    if incident.state != "healthy" or not (incident.cause and incident.done and incident.proof):
        raise NotSeen(f"the incident is {incident.state} and misses a cause, a deed or a proof", "qcity incident show 1 tells what is there")
    stage.more("done", "; ".join(incident.done))
    stage.more("proof", "; ".join(incident.proof))
    if (fresh := runner.pid) is None or fresh == row.pid:
        raise NotSeen(f"{runner.name} has no new process", "qcity runner show says more")
    scene.pids.add(fresh)
    return incident


def _all_green(scene: Scene, incident: Incident) -> None:
    def over() -> list[JobRow] | None:
        rows = scene.jobs()
        scene.show(rows)
        return rows if rows and all(row.status is Status.DONE for row in rows) else None

    rows = scene.wait("all jobs of the first commit green", over)
    red = [row for row in rows if row.outcome is not Outcome.SUCCESS]
    if red:
        raise _not_green(scene, red[0])
    again = [row for row in rows if row.plan.key == VICTIM and row.attempt > 1]
    if not again:
        raise NotSeen(f'"{VICTIM}" was not run again after incident {incident.id}', "qcity job list says what ran")
    artifacts = [item for row in rows for item in row.artifacts]
    if not artifacts:
        raise NotSeen("no artifact was kept", "qcity job show says what the job gave away")
    passed = ", ".join(f"{line(row.plan.name)} passed ({span(duration(row))})" for row in rows if not row.plan.leg)
    scene.stage.line("✔", "jobs", f"{len(rows)} of {len(rows)} green: {passed}, artifact {line(artifacts[0].name)}")


def _break(scene: Scene, path: Path) -> None:
    sha = repository.break_it(path)
    scene.stage.line("▶", "commit 2", "broken on purpose")

    def failed() -> JobRow | None:
        rows = scene.jobs(sha)
        if rows:
            scene.show(rows)
        return next((row for row in rows if row.plan.key == VICTIM and row.status is Status.DONE), None)

    row = scene.wait("the broken commit's failure", failed)
    if row.outcome is not Outcome.FAILURE or "unit tests" not in failing_step(row):
        raise NotSeen(f"the broken commit ended as {word_of(row.status, row.outcome)} at {failing_step(row) or 'no step'}", _tail_hint(scene, row))
    tail = [text for text in Job(scene.city.link, row.id).logs(12).splitlines() if text.strip()]
    if not any("assert 5 == 4" in text for text in tail):
        raise NotSeen("the failing line is not in the job's log", _tail_hint(scene, row))
    scene.stage.line("✖", "job", f"{VICTIM} failed at {failing_step(row)}")
    for note in row.annotations:
        if note.level == "error":
            scene.stage.more("", f"{note.file}:{note.line} {note.message}")
    end = next((number for number, text in enumerate(tail) if text.startswith("✘")), len(tail))
    for text in tail[max(0, end - 4) : end]:  # what the job printed, without what its executor adds
        scene.stage.more("", f"│ {line(text, limit=110)}")
    scene.stage.more("", "not repaired: this is your code, not the runner")
    scene.wait("the end of the second build", lambda: True if all(item.status is Status.DONE for item in scene.jobs(sha)) else None)


def _finish(scene: Scene, runner: Runner) -> Path:
    from ..ui import report
    from .screen import Mark, put_table

    city, stage = scene.city, scene.stage
    path = report.write(city, scene.folder / "report.html", title="QCity demo")
    item = runner.view()
    starts = count(item.row.state.incarnation, "start")
    rows: list[tuple[object, ...]] = [("runner", runner.name, Mark(item.condition.level, item.condition.text), starts)]
    for job in city.jobs.rows():
        told = failing_step(job) or (f"attempt {job.attempt}" if job.attempt > 1 else "")
        rows.append(("job", f"{job.id} {line(job.plan.name)}", Mark(level_of(job.status, job.outcome), word_of(job.status, job.outcome)), told))
    for incident in city.incidents.rows():
        rows.append(("incident", line(incident.title), incident.state, f"took {span((incident.closed or incident.opened) - incident.opened)}"))
    stage.plain()
    put_table(("", "", "", ""), rows, empty="")
    stage.plain()
    return path


def _not_green(scene: Scene, row: JobRow) -> NotSeen:
    why = f" ({line(row.reason)})" if row.reason else ""
    return NotSeen(f'job "{line(row.plan.name)}" ended as {word_of(row.status, row.outcome)}{why}', _tail_hint(scene, row))


def _glyph(row: JobRow) -> str:
    if row.status is Status.RUNNING:
        return "▶"
    return "●" if row.outcome is Outcome.SUCCESS else "○" if row.outcome is Outcome.SKIPPED else "✖"


def _sandbox(level: str) -> str:
    words = {"full": "own uid, bubblewrap, no network", "partial": "what this machine allows; qcity doctor says what is missing"}
    return words.get(level, "none: this machine allows no shutting-in; qcity doctor says why")


def _tail_hint(scene: Scene, row: JobRow) -> str:
    with contextlib.suppress(QCityError):
        tail = [text for text in Job(scene.city.link, row.id).logs(3).splitlines() if text.strip()]
        if tail:
            return f"The last it printed: {line(tail[-1])}"
    return "qcity doctor says what may be missing"
