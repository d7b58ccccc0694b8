"""One attempt of one job, in a thread of its own: it is prepared, runs caged, is ended when it must be, and is reported whatever happens."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ....decide.nodes import Fault
from ....errors import QCityError
from ....io.cage import descendants
from ....model.wire import Fact, JobBegan, JobEnded, JobMoved, RunJob
from ....model.work import Outcome
from ...sandboxes import release
from ...sandboxes.folders import remove
from . import gitlab, gitlab_job
from .joblog import JobLog
from .prepare import JobReader, Prepared, Setting, folder_of, prepare
from .repository import GitError
from .transfer import take_artifacts, take_caches

GRACE = 10.0  # seconds for the `always()` steps of a job that has to end
TICK = 0.25
LINE = 8 << 20
CROWDED = "failed to create new OS thread"
"""What Go's runtime says when the limit of processes is reached: it counts act's own threads too."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why an attempt is being ended before its time, and the outcome it gets."""

    reason: str
    outcome: Outcome


class Attempt:
    """An attempt at a job.

    Args:
        order: what to run.
        setting: what all attempts share.
        uid: the uid of its slot when we are root.
        report: takes its facts.
        done: called when it is over.
    """

    def __init__(
        self, order: RunJob, setting: Setting, *, uid: int | None, report: Callable[[Fact], None], done: Callable[[], None] = lambda: None
    ) -> None:
        self.order, self.setting, self.uid, self.report, self.done = order, setting, uid, report, done
        self.grace = GRACE
        self.ending: Ending | None = None
        self.over = False
        self.thread = threading.Thread(target=self._run, name=f"job-{order.token}", daemon=True)

    def end(self, reason: str, outcome: Outcome) -> None:
        """Ask it to end; the first reason counts."""
        self.ending = self.ending or Ending(reason=reason, outcome=outcome)

    def _run(self) -> None:
        folder = folder_of(self.order.token, self.setting)
        fact: JobEnded
        try:
            log = JobLog(self.setting.home.job_logs / f"{self.order.job}-{self.order.attempt}.log")
            self.report(
                JobBegan(token=self.order.token, at=now(), sandbox=self.setting.level.value, log=str(log.path.relative_to(self.setting.home.root)))
            )
            try:
                fact = self._tries(folder, log)
            finally:
                log.close()
        except (QCityError, GitError, Fault, OSError) as error:
            told = error.what if isinstance(error, (QCityError, Fault)) else str(error)
            ending = self.ending
            outcome = ending.outcome if ending else Outcome.FAILURE
            fact = JobEnded(token=self.order.token, at=now(), outcome=outcome, reason=ending.reason if ending else f"could not be started: {told}")
        finally:
            release(folder)
            remove(folder)
        self.report(fact)
        self.over = True
        self.done()

    def _tries(self, folder: Path, log: JobLog) -> JobEnded:
        """Run it as often as its file asks for, until it does not fail; every try in a fresh work folder."""
        for left in range(self.order.plan.retries, 0, -1):
            fact = self._attempt(folder, log)
            if fact.outcome is not Outcome.FAILURE or self.ending:
                return fact
            log.write([f"it is tried again, as its file asks for ({left} left)"])
            remove(folder)
        return self._attempt(folder, log)

    def _attempt(self, folder: Path, log: JobLog) -> JobEnded:
        make = gitlab_job.prepare if self.order.executor == gitlab.EXECUTOR else prepare
        prepared = make(self.order, self.setting, uid=self.uid)
        said = prepared.log
        log.write(
            [f"{self.order.plan.name} of {self.order.workflow} at {self.order.sha[:12]} ({self.order.ref}), sandbox {self.setting.level.value}"]
        )
        code = self._drive(prepared, log)
        short_of_memory = release(folder)
        artifacts, problems = take_artifacts(folder, self.setting.home.artifacts / str(self.order.build), home=self.setting.home.root)
        if said.outcome is Outcome.SUCCESS:
            problems += take_caches(folder, self.setting.cache)
        log.write([f"warning: {one}" for one in problems])
        outcome, reason = self._judge(said, code, log, short_of_memory=short_of_memory)
        log.write([f"{outcome.value}" + (f": {reason}" if reason else "")])
        return JobEnded(
            token=self.order.token,
            at=now(),
            outcome=outcome,
            reason=reason,
            steps=said.steps,
            annotations=tuple(said.annotations),
            outputs=dict(said.outputs),
            artifacts=tuple(artifacts),
            leftovers=said.leftovers,
        )

    def _judge(self, said: JobReader, code: int, log: JobLog, *, short_of_memory: bool) -> tuple[Outcome, str]:
        if self.ending:
            said.close(self.ending.outcome)
            return self.ending.outcome, self.ending.reason
        name = self.order.executor
        if said.outcome is None:
            crowded = CROWDED in log.path.read_text(errors="replace")
            cut = said.close(Outcome.FAILURE)
            reason = f"it was cut off in {cut}: {name} ended with exit code {code}" if cut else said.reason() or f"{name} ended with exit code {code}"
            if crowded:
                reason += f"; the job used up its {self.setting.options.limits.processes} processes, and left {name} none"
        elif said.outcome is not Outcome.FAILURE:
            return said.outcome, ""
        else:
            reason = said.reason() or f"{name} ended with exit code {code} and did not say why"
        memory = self.setting.options.limits.memory
        if short_of_memory and memory:
            reason += f"; the memory limit of {memory / (1 << 20):.0f} MiB was reached"
        return Outcome.FAILURE, reason

    def _drive(self, prepared: Prepared, log: JobLog) -> int:
        process = subprocess.Popen(
            prepared.argv,
            env=prepared.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        said, watch = prepared.log, _Watch(self, process, prepared.interrupts)
        moved, told = 0.0, (0, said.steps)
        try:
            for lines in _lines(process.stdout.fileno(), watch.look):
                for line in lines:
                    log.write(said.feed(line))
                if time.monotonic() - moved >= TICK and told != (len(said.annotations), said.steps):
                    moved, told = time.monotonic(), (len(said.annotations), said.steps)
                    self.report(JobMoved(token=self.order.token, steps=said.steps, annotations=tuple(said.annotations)))
        finally:
            if process.poll() is None and watch.killed:
                process.kill()
            process.stdout.close()
        return process.wait()


class _Watch:
    """Looks at the clock and at the wish to end while a job runs: first act is interrupted, then everything is killed."""

    def __init__(self, attempt: Attempt, process: subprocess.Popen[bytes], program: str) -> None:
        self.attempt, self.process, self.program = attempt, process, program
        self.deadline = time.monotonic() + attempt.order.plan.timeout.total_seconds()
        self.kill_at = 0.0
        self.killed = False

    def look(self) -> None:
        """Do what the moment asks for."""
        now = time.monotonic()
        if self.attempt.ending is None and now >= self.deadline:
            minutes = self.attempt.order.plan.timeout.total_seconds() / 60
            self.attempt.end(f"it ran longer than its timeout of {minutes:g} min", Outcome.TIMED_OUT)
        if self.attempt.ending is None or self.killed:
            return
        if not self.kill_at:
            # Before act is there nothing of the job has run, so that there are no `always()` steps to wait for.
            self.kill_at = now + self.attempt.grace if self.program and interrupt(self.process.pid, self.program) else now
        if now >= self.kill_at:
            self.killed = True
            kill(self.process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill all below the sandbox, which then ends. The executor goes before what it runs: else it could still say that this failed."""
    for pid in descendants(process.pid):
        _signal(pid, signal.SIGKILL)
    _signal(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()


def interrupt(pid: int, program: str = "act") -> bool:
    """Interrupt the `program` that runs below `pid`; whether one was found. The sandbox itself must not get the signal: it would take it along."""
    for one in descendants(pid):
        try:
            name = Path(f"/proc/{one}/comm").read_text().strip()
        except OSError:
            continue
        if name.removeprefix(".").startswith(program):
            return _signal(one, signal.SIGINT)
    return False


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(timezone.utc)


def _lines(handle: int, tick: Callable[[], None]) -> Iterator[list[str]]:
    """The lines that come out of a pipe, in batches, until it ends; `tick` is called a few times a second. Endless lines are cut."""
    rest = b""
    cutting = False
    while True:
        ready, _, _ = select.select([handle], [], [], TICK)
        tick()
        if not ready:
            yield []
            continue
        raw = os.read(handle, 1 << 16)
        if not raw:
            break
        *whole, rest = (rest + raw).split(b"\n")
        if cutting and whole:
            whole, cutting = whole[1:], False
        if len(rest) > LINE:
            rest, cutting = b"", True
        yield [line.decode("utf-8", "replace") for line in whole]
    if rest and not cutting:
        yield [rest.decode("utf-8", "replace")]
