"""The verbs of `qcity job`."""

from __future__ import annotations

import argparse

from ..client import shapes
from ..client.city import QCity
from ..client.jobs import duration, failing_step, level_of, waited, word_of
from ..decide.wording import count, line, size, span
from ..errors import BadInput
from ..model.work import Artifact, Build, Outcome, Status
from ..store.work import JobRow
from .screen import Mark, follow, open_place, out, put_facts, put_json, put_table


def list_(args: argparse.Namespace) -> int:
    """The newest jobs."""
    if args.limit < 1:
        raise BadInput(f"--limit {args.limit}: it has to be 1 or more", "Leave it out for 30")
    with open_place(args) as city:
        rows = city.jobs.rows(limit=args.limit)
        builds = _builds(city, rows)
        if args.json:
            return put_json(shapes.jobs(rows, builds, root=city.home))
        shown = [_line(row, builds.get(row.build)) for row in rows]
        put_table(("job", "is", "name", "commit", "runner", "took", ""), shown, empty="No job yet: commit something.")
    return 0


def show(args: argparse.Namespace) -> int:
    """One job with its steps."""
    with open_place(args) as city:
        job = city.jobs[args.id]
        row = job.row
        build = _builds(city, [row]).get(row.build)
        if args.json:
            return put_json(shapes.job(row, build, root=city.home))
        word = Mark(level_of(row.status, row.outcome), word_of(row.status, row.outcome))
        pairs: list[tuple[str, object]] = [
            ("why", row.reason),
            ("failed at", failing_step(row)),
            ("commit", f"{build.plan.sha[:7]} {line(build.plan.subject)} ({build.plan.ref})" if build else ""),
            ("workflow", build.plan.workflow if build else ""),
            ("runner", f"{row.runner}, sandbox {row.sandbox or 'unknown'}" if row.runner else ""),
            ("attempt", row.attempt if row.attempt > 1 else ""),
            ("waited", span(waited(row)) if waited(row) is not None else ""),
            ("took", span(duration(row)) if row.started else ""),
            ("steps", "\n".join(_step(step.number, step.name, step.outcome, step.seconds) for step in row.steps)),
            ("said", "\n".join(f"{note.level}: {line(note.message)}{_where(note.file, note.line)}" for note in row.annotations)),
            ("outputs", "\n".join(f"{name} = {line(value)}" for name, value in row.outputs.items())),
            ("artifacts", "\n".join(_artifact(city, item) for item in row.artifacts)),
            ("log", job.log),
        ]
        put_facts(f"{word}: job {row.id} {line(row.plan.name)}", pairs)
        if row.outcome in (Outcome.FAILURE, Outcome.TIMED_OUT):
            last = job.logs(15).splitlines()
            out("\n".join(["  last lines", *(f"    {text}" for text in last)]) if last else "  last lines   none: it never began")
    return 0


def logs(args: argparse.Namespace) -> int:
    """What one printed."""
    with open_place(args) as city:
        job = city.jobs[args.id]
        if args.follow:
            follow(lambda: job.log, lines=args.lines, over=lambda: job.status is Status.DONE)
            return 0
        row = job.row
        none = f"Job {row.id} has printed nothing: {word_of(row.status, row.outcome)}" + (f", {line(row.reason)}." if row.reason else ".")
        out(job.logs(args.lines) or none)
    return 0


def rerun(args: argparse.Namespace) -> int:
    """Run one again."""
    with open_place(args) as city:
        jobs = city.jobs[args.id].rerun()
        numbers = ", ".join(str(job.id) for job in jobs)
        out(f"Job {args.id} runs again" + (f" as job {numbers}." if numbers else "."))
    return 0


def cancel(args: argparse.Namespace) -> int:
    """End one."""
    with open_place(args) as city:
        city.jobs[args.id].cancel(args.reason)
        out(f"Job {args.id} is being cancelled; its always() steps get their chance first.")
    return 0


def _builds(city: QCity, rows: list[JobRow]) -> dict[int, Build]:
    wanted = {row.build for row in rows}
    return {build.id: build for build in city.builds.rows(limit=max(50, len(rows))) if build.id in wanted}


def _line(row: JobRow, build: Build | None) -> tuple[object, ...]:
    commit = f"{build.plan.sha[:7]} {line(build.plan.subject, limit=30)}" if build else ""
    word = Mark(level_of(row.status, row.outcome), word_of(row.status, row.outcome))
    return (row.id, word, line(row.plan.name, limit=60), commit, row.runner, span(duration(row)), failing_step(row) or line(row.reason, limit=80))


def _step(number: int, name: str, outcome: Outcome | None, seconds: float | None) -> str:
    level = level_of(Status.RUNNING, outcome)
    return f"{level.glyph} {number} {line(name)}: {word_of(Status.RUNNING, outcome)}" + (f", {span(seconds)}" if seconds is not None else "")


def _artifact(city: QCity, item: Artifact) -> str:
    return f"{line(item.name)}: {city.home / item.path} ({count(item.files, 'file')}, {size(item.size)})"


def _where(file: str, number: int | None) -> str:
    return f" ({line(file)}:{number})" if file and number else f" ({line(file)})" if file else ""
