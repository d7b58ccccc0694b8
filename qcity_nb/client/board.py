"""All that a dashboard shows of a place, as plain data from one read of the store.

It is tables of rows under keys that stay, so that only what changed need be told again. Ages are not in it but moments (seconds since 1970),
because an age changes even when nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from ..decide import board, health
from ..decide.health import Level
from ..decide.redact import redact
from ..decide.wording import count, line, percent, sentence, span, visible
from ..errors import StoreError
from ..io.files import is_locked, tail
from ..model.agent import FORGES
from ..model.home import Home
from ..model.schedule import CellState
from ..model.service import Desired, Phase
from ..model.work import Outcome, Status
from ..store import checks, commands, history, runs, sums
from ..store.database import Store
from ..store.history import Incident
from ..store.platforms import PlatformRow
from ..store.runs import RunRow, ScheduleRow
from ..store.sums import Task
from . import incidents as incident_words
from .jobs import level_of, word_of
from .link import now
from .runs import level_of as run_level
from .runs import name_of, where
from .schedules import when
from .vaults import condition_of
from .view import HELPERS, RunnerView, View, seen

JOBS_FOR, JOBS, INCIDENTS, RUNS, AUDIT = timedelta(hours=6), 200, 20, 20, 60
LOG_LINES, LOG_WIDTH = 40, 400
_CELLS = {CellState.PENDING: "·", CellState.RUNNING: "▸", CellState.DONE: "✔", CellState.FAILED: "✘"}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A place at one moment, as it is shown.

    Args:
        at: the moment, in seconds since 1970.
        slot: the begin of the newest of the sixty slots of a runner's beats.
        tables: `head` (one row), `runners`, `incidents`, `jobs`, `runs`, `schedules`, `tunnels`, `platforms`: rows by key.
        beats: for each runner its slots, oldest first: nobody watched, down, partly up, up (0 to 3).
        seen: when each runner was last found up; 0 when never.
    """

    at: float
    slot: int
    tables: Mapping[str, Mapping[str, Row]]
    beats: Mapping[str, bytes]
    seen: Mapping[str, int]

    @property
    def head(self) -> Row:
        """What stands on top: the headline, what to do, the figures."""
        return self.tables["head"]["head"]


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """What is counted for all runners at once."""

    week: Mapping[int, tuple[int, int]]
    beats: Mapping[str, bytes]
    seen: Mapping[int, int]
    jobs: Mapping[str, list[Task]]
    checks: Mapping[str, list[timedelta]]
    slot: int


def take(store: Store) -> Board:
    """The board of now, from one read. Never starts anything.

    Raises:
        StoreError: it cannot be read.
    """
    there(store)
    alive = is_locked(store.home.lock)
    vaults = condition_of(store, now(), alive=alive)
    vaults = vaults if vaults is not None and vaults.level is not Level.WELL else None  # how old a copy is changes while nothing happens
    with store.read() as connection:
        view = seen(connection, store.place, alive=alive, vaults=vaults)
        counted = _sums(connection, store.place, view)
        incidents = {row.id: row for row in (*history.latest_incidents(connection, store.place, limit=INCIDENTS), *view.incidents[:INCIDENTS])}
        known = {row.id: row for row in (*runs.latest_runs(connection, store.place, limit=RUNS), *runs.open_runs(connection, store.place)[:RUNS])}
        plans = runs.schedules_of(connection, store.place)
    rows = {name: _runner(one, counted) for name, one in view.runners.items()}
    lately = [task for task in view.jobs if task.started is None or task.finished is None or task.finished >= view.at - JOBS_FOR]
    tables: dict[str, Mapping[str, Row]] = {
        "runners": rows,
        "incidents": {str(row.id): _incident(row) for row in incidents.values()},
        "jobs": {str(task.id): _job(task) for task in lately[-JOBS:]},
        "runs": {str(row.id): _run(row) for row in known.values()},
        "schedules": {row.schedule.name: _schedule(row) for row in plans},
        "tunnels": {row.name: _tunnel(row.name, row.view.url, view.addresses[row.name]) for row in view.tunnels},
        "platforms": {row.name: _platform(row, view.platforms[row.name]) for row in view.watched},
    }
    return Board(
        at=view.at.timestamp(),
        slot=counted.slot,
        tables={"head": {"head": _head(view, rows)}, **tables},
        beats=counted.beats,
        seen={name: counted.seen.get(one.row.id, 0) for name, one in view.runners.items()},
    )


def there(store: Store) -> None:
    """Look whether the store's file still is; an open one would be read on as if nothing were.

    Raises:
        StoreError: it is gone.
    """
    if store.embedded and not store.home.store.exists():
        raise StoreError("the store of this place is gone", "Put its folder back, or end what shows this and run qcity up", permanent=False)


def mark(store: Store) -> object:
    """What is other after anything was written or the engine came or went; None where only a read can tell (a database server)."""
    if not store.embedded:
        return None
    found: list[object] = [is_locked(store.home.lock)]
    for path in (store.home.store, store.home.store.with_name(store.home.store.name + "-wal")):
        try:
            known = path.stat()
        except OSError:
            continue
        found.append((known.st_ino, known.st_size, known.st_mtime_ns))
    return tuple(found)


def log(home: Home, name: str) -> str:
    """The end of a runner's log: no secret, no control character, no line that never ends."""
    lines = tail(home.service(name) / "log", lines=LOG_LINES)
    return "\n".join(line(one, limit=LOG_WIDTH) for one in redact("\n".join(lines)).split("\n"))


def audit(store: Store) -> list[Row]:
    """Who asked for what, newest first, and what came of it. What it was asked with is left out: it may be anything."""
    with store.read() as connection:
        rows = commands.latest(connection, store.place, limit=AUDIT)
    return [
        {
            **_mark({"done": Level.WELL, "refused": Level.WARN}.get(row.status, Level.OFF)),
            "word": row.status,
            "actor": line(row.actor, limit=80),
            "what": line(f"{row.verb} {row.subject}", limit=160),
            "why": line(redact(str((row.result or {}).get("error") or "")), limit=300),
            "begun": _moment(row.at),
        }
        for row in reversed(rows)
    ]


def _sums(connection: Connection, place: str, view: View) -> _Sums:
    ids = [one.row.id for one in view.runners.values()]
    at, slot = sums.edges(connection, ids), int(view.at.timestamp()) // board.SLOT_SECONDS * board.SLOT_SECONDS
    minutes: dict[int, list[tuple[int, int, int]]] = {}
    for id_, begin, beats, up in sums.by_minute(connection, ids, since=slot - (board.SLOTS - 1) * board.SLOT_SECONDS, at=at):
        minutes.setdefault(id_, []).append((begin, beats, up))
    jobs: dict[str, list[Task]] = {}
    for task in view.jobs:
        jobs.setdefault(task.runner, []).append(task)
    return _Sums(
        week=sums.ups(connection, ids, since=view.at - timedelta(days=7), at=at),
        beats={name: board.hour(minutes.get(one.row.id, ()), last=slot) for name, one in view.runners.items()},
        seen=sums.seen(connection, ids, now=view.at),
        jobs=jobs,
        checks=checks.took(connection, place, view.runners, since=view.at - timedelta(hours=24)),
        slot=slot,
    )


def _head(view: View, rows: Mapping[str, Row]) -> Row:
    head, engine = view.headline, view.engine
    about = [one for name, one in view.about.items() if one is not head and name != "platforms"]  # those have a strip of their own
    if flapping := [name for name, row in rows.items() if row["flaps"]]:
        text = f"{flapping[0]} flaps: its state changed in {rows[flapping[0]]['flaps']} % of the last {board.WINDOW} minutes."
        more = f" {count(len(flapping) - 1, 'other runner does', 'other runners do')} so, too." if len(flapping) > 1 else ""
        about.insert(0, health.Condition(level=Level.WARN, text=text + more))
    wanted = [one for one in view.runners.values() if one.condition.level is not Level.OFF]
    up = sum(one.condition.level in (Level.WELL, Level.WARN) for one in wanted)
    known = [one.uptime for one in view.runners.values() if one.uptime is not None]
    share = sum(known) / len(known) if known else None
    figures = [
        ("up", f"{up} of {len(wanted)}"),
        ("busy", str(view.work.running)),
        ("queued", str(view.work.queued)),
        ("jobs wait, p95", span(view.work.wait)),
        ("up in 24 h", percent(share)),
        ("incidents open", str(len(view.incidents))),
    ]
    if view.tunnels:
        figures.append(("tunnels up", f"{sum(one.level is Level.WELL for one in view.addresses.values())} of {len(view.tunnels)}"))
    return {
        **_mark(head.level),
        "text": visible(head.text),
        "todo": visible(head.todo),
        "figures": [list(pair) for pair in figures],
        "alive": engine.alive,
        "engine": sentence(f"The engine {visible(engine.condition.text)}"),
        "about": [{**_mark(one.level), "text": visible(one.text)} for one in about],
    }


def _runner(one: RunnerView, counted: _Sums) -> Row:
    row, condition = one.row, one.condition
    jobs = [task for task in counted.jobs.get(row.name, ()) if not task.reused]
    current = next((task for task in reversed(jobs) if task.status == Status.RUNNING.value), None)
    waits = [max(task.started - task.queued, timedelta(0)) for task in jobs if task.started and task.queued]
    checked = counted.checks.get(row.name, ())
    share, flaps = board.flapping(counted.beats[row.name])
    level = Level.WARN if flaps and condition.level is Level.WELL else condition.level
    word = "busy" if level is Level.WELL and row.state.busy else level.value
    return {
        **_mark(level),
        "word": word,
        "text": line(condition.text, limit=400),
        "todo": line(condition.todo),
        "rank": board.rank(condition.level, flaps=flaps, busy=bool(row.state.busy)),
        "kind": row.spec.kind,
        "sandbox": row.sandbox,
        "day": percent(one.uptime),
        "week": percent(sums.share(counted.week, row.id)),
        "wait": [span(health.percentile(waits, 0.5)), span(health.percentile(waits))] if waits else [],
        "checks": [span(health.percentile(checked, 0.5)), span(health.percentile(checked))] if checked else [],
        "job": f"{current.id} {line(current.name, limit=80)}" if current else "",
        "begun": _moment(current.started) if current else None,
        "flaps": round(share) if flaps else 0,
        "can": _possible(row.spec.kind, row.state.phase, row.state.desired),
    }


def _possible(kind: str, phase: Phase, desired: Desired) -> list[str]:
    """What may be asked of it. Helpers of our own and what somebody else started are nobody's to stop here."""
    if kind == "foreign" or kind in HELPERS:
        return []
    revoke = ["revoke"] if kind in FORGES else []
    if phase in (Phase.STOPPED, Phase.QUARANTINED):
        return ["start", *revoke]
    return [*(["restart"] if desired is Desired.DRAINED else ["restart", "drain", "pause", "repair"]), *revoke]


def _incident(row: Incident) -> Row:
    return {
        **_mark(incident_words.LEVELS.get(row.state, Level.WARN)),
        "word": row.state,
        "runner": row.service,
        "title": line(row.title),
        "cause": line(row.cause, limit=400),
        "done": line("; ".join(row.done), limit=400),
        "proof": line("; ".join(row.proof), limit=400),
        "evidence": [line(one) for one in row.evidence[:3]],
        "begun": _moment(row.opened),
        "over": _moment(row.closed),
    }


def _job(task: Task) -> Row:
    status, outcome = Status(task.status), Outcome(task.outcome) if task.outcome else None
    return {
        **_mark(level_of(status, outcome)),
        "word": word_of(status, outcome),
        "name": line(task.name, limit=80),
        "runner": task.runner,
        "why": line(task.reason),
        "queued": _moment(task.queued),
        "begun": _moment(task.started),
        "over": _moment(task.finished),
        "can": ["rerun"] if status is Status.DONE else [],
    }


def _run(row: RunRow) -> Row:
    return {
        **_mark(run_level(row)),
        "word": row.state.value,
        "name": line(name_of(row), limit=80),
        "text": where(row),
        "tail": "" if row.live is None else line("".join(row.live.tail.splitlines()[-1:]), limit=120),
        "cells": "".join(_CELLS[cell.state] for cell in row.cells[:200]),
        "begun": _moment(row.started),
        "over": _moment(row.finished),
    }


def _schedule(row: ScheduleRow) -> Row:
    return {"when": when(row.schedule), "paused": row.schedule.paused, "next": _moment(row.next)}


def _tunnel(name: str, url: str, condition: health.Condition) -> Row:
    return {**_mark(condition.level), "word": condition.level.value, "name": line(name), "text": visible(condition.text), "url": url}


def _platform(row: PlatformRow, condition: health.Condition) -> Row:
    fresh = condition.level is not Level.STALE
    word = row.view.says.value if fresh else "unknown"
    return {**_mark(condition.level), "word": word, "name": line(row.feed.title, limit=40), "text": condition.text, "url": row.feed.page}


def _mark(level: Level) -> Row:
    return {"level": level.name.lower(), "glyph": level.glyph}


def _moment(value: datetime | None) -> float | None:
    return None if value is None else round(value.timestamp(), 1)
