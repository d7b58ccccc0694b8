"""A place as one HTML file that opens anywhere: no script, no request to anywhere, light and dark, narrow and wide.

Everything that comes from outside (names, subjects, logs) is escaped and its control characters are shown instead of obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path

from ..client.city import QCity
from ..client.incidents import LEVELS
from ..client.jobs import duration, failing_step, level_of, waited, word_of
from ..client.tables import clock, escape
from ..client.view import RunnerView
from ..decide.health import Level
from ..decide.wording import count, line, percent, size, span
from ..io.files import tail, write_atomic
from ..model.work import Build, Outcome, Status
from ..store.history import Incident
from ..store.work import JobRow

LOG_LINES = 40
_FAILED = (Outcome.FAILURE, Outcome.TIMED_OUT, Outcome.LOST)


@dataclass(frozen=True)
class _Facts:
    """What a report is made of."""

    root: Path
    builds: list[Build]
    jobs: list[JobRow]
    incidents: list[Incident]


def write(city: QCity, path: Path, *, title: str = "QCity report") -> Path:
    """Write the report of a place to `path`, whole or not at all; the path."""
    write_atomic(path, page(city, title=title), mode=0o644)
    return path


def page(city: QCity, *, title: str = "QCity report") -> str:
    """The report as text."""
    picture = city.status()
    jobs = city.jobs.rows(limit=100)
    wanted = {job.build for job in jobs}
    facts = _Facts(city.home, [build for build in city.builds.rows(limit=100) if build.id in wanted], jobs, city.incidents.rows(limit=50))
    head = picture.view.headline
    body = [
        f'<p class="soft">{escape(title)} · {clock(picture.view.at)} UTC</p>',
        f'<h1><span class="{head.level.value}">{head.level.glyph}</span> {escape(head.text)}</h1>',
        f"<p>Next: <code>{escape(head.todo)}</code></p>" if head.todo else "",
        _section("Incidents", [_incident(row, picture.view.at) for row in reversed(facts.incidents)], none="Nothing has gone wrong."),
        _section("Builds", [_build(build, facts) for build in reversed(facts.builds)], none="No build yet."),
        _section("When the jobs ran", [gantt(jobs, picture.view.at)] if any(job.started for job in jobs) else [], none="No job has begun yet."),
        _section("Runners", [_runner(item) for item in picture.runners.values()], none="No runner."),
        f'<p class="soft">Made by qcity {metadata.version("qcity-nb")}. This file needs nothing but itself.</p>',
    ]
    css = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    top = f"{meta}<title>{escape(title)}</title><style>\n{css}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{top}</head><body>\n{"".join(body)}\n</body></html>\n'


def gantt(jobs: Iterable[JobRow], now: datetime) -> str:
    """When which job ran, as inline SVG: one line each, with glyph and word beside the bar."""
    begun = [job for job in jobs if job.started is not None and not job.reused][-40:]
    begin = min(job.started for job in begun if job.started)
    whole = _width(begun, begin, now)
    rows = []
    for number, job in enumerate(begun):
        assert job.started is not None
        level, took = level_of(job.status, job.outcome), (job.finished or now) - job.started
        left, wide = (job.started - begin).total_seconds() / whole * 400, max(3.0, took.total_seconds() / whole * 400)
        words = f"{level.glyph} {word_of(job.status, job.outcome)} {span(took)}"
        top = 8 + number * 40
        name = escape(line(f"{job.id} {job.plan.name}", limit=44))
        rows.append(
            f'<text x="0" y="{top + 10}">{name}</text><text x="400" y="{top + 10}" text-anchor="end">{escape(words)}</text>'
            f'<line class="axis" x1="0" x2="400" y1="{top + 22}" y2="{top + 22}"/>'
            f'<rect class="{level.value}" x="{min(left, 397):.1f}" y="{top + 16}" width="{min(wide, 400 - min(left, 397)):.1f}" height="12" rx="2"/>'
        )
    high = 8 + len(begun) * 40
    label = f"{len(begun)} jobs over {span(whole)}"
    svg = f'<svg viewBox="0 0 400 {high}" role="img" aria-label="{label}">{"".join(rows)}</svg>'
    return f'<div class="chart">{svg}</div><p class="soft">{clock(begin)} UTC, {span(whole)} from left to right</p>'


def _width(jobs: Iterable[JobRow], begin: datetime, now: datetime) -> float:
    return max(0.001, (max(job.finished or now for job in jobs) - begin).total_seconds())


def _section(title: str, parts: Iterable[str], *, none: str) -> str:
    inner = "".join(parts)
    return f"<section><h2>{title}</h2>{inner or f'<p>{none}</p>'}</section>"


def _card(level: Level, word: str, title: str, inner: str) -> str:
    return f'<div class="card {level.value}"><span class="word">{level.glyph} {escape(word)}</span> <h3>{title}</h3>{inner}</div>'


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values; the values are HTML already."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in pairs if value)}</dl>"


def _runner(item: RunnerView) -> str:
    row, condition = item.row, item.condition
    pairs = [
        ("next", f"<code>{escape(condition.todo)}</code>" if condition.todo else ""),
        ("kind", escape(row.spec.kind)),
        ("labels", escape(", ".join(row.spec.labels))),
        ("sandbox", escape(row.sandbox)),
        ("up in 24 h", percent(item.uptime)),
        ("starts", str(row.state.incarnation)),
    ]
    return _card(condition.level, condition.level.value, f"{escape(row.name)} {escape(condition.text)}", _pairs(pairs))


def _incident(row: Incident, now: datetime) -> str:
    took = span((row.closed or now) - row.opened)
    pairs = [
        ("when", f"{clock(row.opened)} UTC, {'took' if row.closed else 'for'} {took}"),
        ("cause", escape(row.cause)),
        ("done", _listed(row.done)),
        ("proof", _listed(row.proof)),
        ("evidence", _listed(row.evidence)),
    ]
    return _card(LEVELS.get(row.state, Level.WARN), row.state, escape(row.title), _pairs(pairs))


def _build(build: Build, facts: _Facts) -> str:
    plan, jobs = build.plan, [job for job in facts.jobs if job.build == build.id]
    level = level_of(Status.RUNNING, build.outcome)
    title = f"{escape(plan.sha[:7])} {escape(line(plan.subject))}"
    notes = "".join(f"<p>{escape(text)}</p>" for text in (plan.problem, *plan.warnings) if text)
    where = f'<p class="soft">{escape(plan.workflow)} on {escape(plan.ref)}, found {clock(build.created)} UTC by {escape(build.runner)}</p>'
    return _card(level, word_of(Status.RUNNING, build.outcome), title, where + notes + "".join(_job(job, facts.root) for job in jobs))


def _job(job: JobRow, root: Path) -> str:
    level, failed = level_of(job.status, job.outcome), job.outcome in _FAILED
    took = f", {span(duration(job))}" if job.started else ""
    word = f'<span class="{level.value}">{level.glyph} {escape(word_of(job.status, job.outcome))}</span>'
    where = f": failed at {escape(failing_step(job))}" if failing_step(job) else ""
    top = f"<summary>{word} <strong>{escape(line(job.plan.name))}</strong>{took}{where}</summary>"
    attempt = f"{job.attempt}" if job.attempt > 1 else ""
    pairs = [
        ("why", escape(job.reason)),
        ("runner", escape(f"{job.runner}, sandbox {job.sandbox or 'unknown'}") if job.runner else ""),
        ("attempt", attempt),
        ("waited", span(waited(job)) if waited(job) is not None else ""),
        ("outputs", _listed(f"{name} = {line(value)}" for name, value in job.outputs.items())),
        ("artifacts", _listed(f"{item.name} ({count(item.files, 'file')}, {size(item.size)})" for item in job.artifacts)),
        ("said", _listed(f"{note.level}: {note.message}" + (f" ({note.file}:{note.line})" if note.file else "") for note in job.annotations)),
    ]
    log = "\n".join(_log(job, root)) if failed else ""
    shown = f'<p class="soft">The last lines it printed:</p><pre>{escape(log)}</pre>' if log else ""
    return f"<details{' open' if failed else ''}>{top}{_pairs(pairs)}{_steps(job)}{shown}</details>"


def _steps(job: JobRow) -> str:
    if not job.steps:
        return ""
    rows = "".join(
        f'<tr><td>{step.number}</td><td>{escape(line(step.name))}</td><td class="{level.value}">{level.glyph} '
        f'{escape(word_of(Status.RUNNING, step.outcome))}</td><td class="wide">{span(step.seconds)}</td></tr>'
        for step in job.steps
        for level in (level_of(Status.RUNNING, step.outcome),)
    )
    return f'<table><tr><th>step</th><th>name</th><th>is</th><th class="wide">took</th></tr>{rows}</table>'


def _log(job: JobRow, root: Path) -> Iterator[str]:
    yield from tail(root / job.log, lines=LOG_LINES) if job.log else []


def _listed(texts: Iterable[str]) -> str:
    return "<br>".join(escape(line(text, limit=1000)) for text in texts)
