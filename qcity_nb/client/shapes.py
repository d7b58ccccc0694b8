"""The documented JSON shapes of everything that can be listed; `schema.json` beside this file describes them and tests hold the two together.

Moments are ISO 8601 in UTC, durations are seconds in fields that end in `_s`, nothing is ever left out: what is unknown is null.
Values of environment variables are never among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from ..decide.wording import sentence
from ..model.fleet import ClaimView, PlaceConfig
from ..model.place import PlaceReport, PlaceState
from ..model.service import Exit
from ..model.wire import AgentView
from ..model.work import Build
from ..store.history import Incident
from ..store.runs import RunRow, ScheduleRow
from ..store.work import JobRow
from . import incidents as incident_words
from .agents import Plan
from .doctor import Finding
from .fleet import FleetStatus, Round, Spell
from .jobs import duration, failing_step, waited
from .link import now
from .places import Noted
from .runs import took
from .view import EngineView, RunnerView, View

Shape = dict[str, Any]


def schema() -> Shape:
    """The JSON Schema of all shapes (draft 2020-12): each listing is one entry of its `$defs`."""
    loaded: Shape = json.loads(resources.files(__package__).joinpath("schema.json").read_text("utf-8"))
    return loaded


def moment(value: datetime | None) -> str | None:
    """ISO 8601, UTC, milliseconds."""
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(value: timedelta | None) -> float | None:
    """Seconds with three places."""
    return None if value is None else round(value.total_seconds(), 3)


def engine(view: EngineView, *, home: Path, store: str) -> Shape:
    """`qcity engine status --json`."""
    return {
        "state": view.state.value,
        "alive": view.alive,
        "sentence": sentence(f"The engine {view.condition.text}"),
        "todo": view.condition.todo,
        "pid": view.pid,
        "host": view.host,
        "generation": view.generation,
        "since": moment(view.taken),
        "last_sign": moment(view.last),
        "age_s": seconds(max(now() - view.last, timedelta(0))) if view.last else None,
        "note": view.note,
        "home": str(home),
        "store": store,
    }


def runner(view: RunnerView) -> Shape:
    """`qcity runner show NAME --json`."""
    row, state, spec = view.row, view.row.state, view.row.spec
    return {
        "name": row.name,
        "kind": spec.kind,
        "labels": list(spec.labels),
        "claim": spec.claim,
        "options": _masked(spec.options),
        "phase": state.phase.value,
        "desired": state.desired.value,
        "health": view.condition.level.value,
        "sentence": sentence(f"{row.name} {view.condition.text}"),
        "todo": view.condition.todo,
        "since": moment(row.since),
        "pid": row.pid,
        "incarnation": state.incarnation,
        "busy": state.busy,
        "failures": state.failures,
        "restarts": len(state.starts),
        "next_start": moment(state.next_at),
        "sandbox": row.sandbox,
        "trouble": {about: text for about, text in row.trouble.items() if text},
        "uptime_24h": view.uptime,
        "incident": state.incident,
        "last_exit": _exit(state.last_exit),
        "agent": _agent(row.agent),
    }


def _agent(view: AgentView | None) -> Shape | None:
    if view is None:
        return None
    return {
        "id": view.id,
        "name": view.name,
        "online": view.online,
        "busy": view.busy,
        "labels": list(view.labels),
        "version": view.version,
        "url": view.url,
        "note": view.note,
        "checked": moment(view.checked),
    }


def plan(found: Plan) -> Shape:
    """`qcity runner plan --json`."""
    return {"ok": found.ok, "sentence": found.sentence(), "lines": [asdict(line) for line in found.lines]}


def agents(found: Iterable[Mapping[str, Any]]) -> Shape:
    """`qcity runner discover --json`."""
    keys = ("name", "forge", "pid", "folder", "url", "scope", "id", "how")
    return {"agents": [{key: one.get(key) for key in keys} for one in found]}


def fleet(found: FleetStatus) -> Shape:
    """`qcity fleet status --json`."""
    config = found.config
    return {
        "at": moment(found.at),
        "sentence": found.sentence(),
        "healthy": found.healthy,
        "lease": config.lease if config else None,
        "term_s": seconds(config.term) if config else None,
        "me": config.me if config else "",
        "places": [_place(place) for place in config.places] if config else [],
        "claims": [_claim(claim) for claim in found.claims],
    }


def drill(rounds: Sequence[Round], doubles: Sequence[tuple[Spell, Spell]], *, places: int, term: timedelta, limit: float) -> Shape:
    """`qcity fleet drill --json`."""
    worst = max((one.terms for one in rounds), default=0.0)
    ok = bool(rounds) and worst < limit and not doubles
    took = f"{len(rounds)} takeovers, the longest in {worst:.2f} terms (at most {limit:g} are allowed)"
    return {
        "ok": ok,
        "sentence": f"{took}; two places at once: {len(doubles) or 'never'}.",
        "places": places,
        "term_s": seconds(term),
        "limit_terms": limit,
        "rounds": [
            {
                "fault": one.fault,
                "holder": one.holder,
                "taker": one.taker,
                "epoch": one.epoch,
                "takeover_s": round(one.seconds, 3),
                "terms": round(one.terms, 3),
                "outlived_s": round(one.outlived, 3),
            }
            for one in rounds
        ],
        "doubles": [{"first": asdict(first), "second": asdict(second)} for first, second in doubles],
    }


def _place(place: PlaceConfig) -> Shape:
    budget = float(place.budget) if place.budget is not None else None
    return {"name": place.name, "kind": place.kind, "price": float(place.price), "start_s": seconds(place.start), "budget": budget}


def _claim(view: ClaimView) -> Shape:
    return {
        "claim": view.claim,
        "holder": view.holder,
        "epoch": view.epoch,
        "state": view.state,
        "mine": view.mine,
        "term_s": seconds(view.term),
        "since": moment(view.since),
        "renewed": moment(view.renewed),
        "looked": moment(view.looked),
        "next": view.next,
        "trouble": view.trouble,
    }


def job(row: JobRow, build: Build | None, *, root: Path) -> Shape:
    """`qcity job show ID --json`."""
    plan = build.plan if build else None
    return {
        "id": row.id,
        "build": row.build,
        "name": row.plan.name,
        "key": row.plan.key,
        "needs": list(row.plan.needs),
        "labels": list(row.plan.labels),
        "workflow": plan.workflow if plan else "",
        "sha": plan.sha if plan else "",
        "ref": plan.ref if plan else "",
        "subject": plan.subject if plan else "",
        "status": row.status.value,
        "outcome": row.outcome.value if row.outcome else None,
        "attempt": row.attempt,
        "runner": row.runner,
        "reason": row.reason,
        "sandbox": row.sandbox,
        "queued": moment(row.queued),
        "started": moment(row.started),
        "finished": moment(row.finished),
        "wait_s": seconds(waited(row)),
        "duration_s": seconds(duration(row)),
        "failing_step": failing_step(row) or None,
        "steps": [
            {"number": step.number, "name": step.name, "outcome": step.outcome.value if step.outcome else None, "seconds": step.seconds}
            for step in row.steps
        ],
        "annotations": [
            {"level": note.level, "message": note.message, "file": note.file, "line": note.line, "step": note.step} for note in row.annotations
        ],
        "outputs": dict(row.outputs),
        "artifacts": [{"name": item.name, "path": item.path, "size": item.size, "files": item.files} for item in row.artifacts],
        "log": str(root / row.log) if row.log else None,
    }


def incident(row: Incident) -> Shape:
    """`qcity incident show ID --json`."""
    return {
        "id": row.id,
        "runner": row.service,
        "state": row.state,
        "opened": moment(row.opened),
        "closed": moment(row.closed),
        "duration_s": seconds(row.closed - row.opened) if row.closed else None,
        "title": row.title,
        "cause": row.cause,
        "evidence": list(row.evidence),
        "done": list(row.done),
        "proof": list(row.proof),
        "sentence": incident_words.tell(row),
    }


def status(view: View, *, home: Path, store: str) -> Shape:
    """`qcity status --json`."""
    return {
        "at": moment(view.at),
        "level": view.headline.level.value,
        "headline": view.headline.text,
        "todo": view.headline.todo,
        "engine": engine(view.engine, home=home, store=store),
        "runners": [runner(item) for item in view.runners.values()],
        "jobs": {"running": view.work.running, "queued": view.work.queued, "wait_p95_s": seconds(view.work.wait)},
        "notebooks": {
            "running": view.notebooks.running,
            "waiting": view.notebooks.waiting,
            "schedules": view.notebooks.schedules,
            "failing": [{"schedule": run.schedule, "run": run.id, "reason": run.reason} for run in view.notebooks.failing],
            "next": {"schedule": view.notebooks.upcoming, "at": moment(view.notebooks.at)} if view.notebooks.at else None,
        },
        "tunnels": [
            {"name": row.name, "state": row.view.state.value, "url": row.view.url, "generation": row.view.generation} for row in view.tunnels
        ],
        "incidents": [incident(row) for row in view.incidents],
    }


def runners(view: View) -> Shape:
    """`qcity runner list --json`."""
    return {"runners": [runner(item) for item in view.runners.values()]}


def jobs(rows: Iterable[JobRow], builds: Mapping[int, Build], *, root: Path) -> Shape:
    """`qcity job list --json`."""
    return {"jobs": [job(row, builds.get(row.build), root=root) for row in rows]}


def notebook_run(row: RunRow, *, root: Path) -> Shape:
    """`qcity notebook show ID --json`."""
    length = took(row)
    live = row.live
    return {
        "id": row.id,
        "schedule": row.schedule,
        "notebook": row.plan.notebook,
        "parameters": dict(row.plan.parameters),
        "state": row.state.value,
        "reason": row.reason,
        "attempt": row.attempt,
        "at": moment(row.at),
        "started": moment(row.started),
        "finished": moment(row.finished),
        "duration_s": seconds(length),
        "cell": row.cell,
        "cells": [{"number": one.number, "title": one.title, "state": one.state.value, "seconds": one.seconds} for one in row.cells],
        "live": None if live is None else {"cell": live.cell, "cells": live.cells, "title": live.title, "tail": live.tail, "share": live.share},
        "attempts": [{"number": one.number, "state": one.state.value, "reason": one.reason} for one in row.attempts],
        "resumable_until": moment(row.parked) if row.cell is not None else None,
        "changed": row.changed,
        "executor": row.plan.executor,
        "sandbox": row.sandbox or None,
        "output": str(root / row.output) if row.output else None,
    }


def notebook_runs(rows: Iterable[RunRow], *, root: Path) -> Shape:
    """`qcity notebook list --json`."""
    return {"runs": [notebook_run(row, root=root) for row in rows]}


def schedules(rows: Iterable[ScheduleRow]) -> Shape:
    """`qcity schedule list --json`."""
    return {
        "schedules": [
            {
                "name": row.schedule.name,
                "notebook": row.schedule.plan.notebook,
                "parameters": dict(row.schedule.plan.parameters),
                "cron": row.schedule.cron,
                "once": moment(row.schedule.once),
                "zone": row.schedule.zone,
                "max_parallel": row.schedule.max_parallel,
                "catch_up": row.schedule.catch_up.value,
                "paused": row.schedule.paused,
                "shared": row.schedule.shared,
                "next": moment(row.next),
            }
            for row in rows
        ]
    }


def moments(name: str, found: Iterable[datetime]) -> Shape:
    """`qcity schedule next NAME --json`."""
    return {"name": name, "next": [moment(one) for one in found]}


def incidents(rows: Iterable[Incident]) -> Shape:
    """`qcity incident list --json`."""
    return {"incidents": [incident(row) for row in rows]}


def doctor(findings: Iterable[Finding]) -> Shape:
    """`qcity doctor --json`."""
    found = [{"check": item.check, "verdict": item.verdict, "sentence": item.sentence, "todo": item.todo} for item in findings]
    return {"ok": all(item["verdict"] != "bad" for item in found), "findings": found}


def places(noted: Iterable[Noted]) -> Shape:
    """`qcity place list --json`."""
    return {
        "places": [
            {
                "name": one.config.name,
                "kind": one.config.kind,
                "options": dict(one.config.options),
                "price": float(one.config.price),
                "budget": None if one.config.budget is None else float(one.config.budget),
                "start_s": seconds(one.config.start),
                "state": place_state(one.state) if one.state else None,
                "heard": moment(one.at),
            }
            for one in noted
        ]
    }


def place(report: PlaceReport) -> Shape:
    """`qcity place check NAME --json`."""
    return {**asdict(report), "missing": list(report.missing), "healthy": report.healthy, "ready": report.ready}


def place_state(state: PlaceState) -> Shape:
    """`qcity place status NAME --json`, and what `start` and `stop` print."""
    return {**asdict(state), "running": state.running.value, "until": moment(state.until)}


def _masked(options: Mapping[str, object]) -> Shape:
    return {key: dict.fromkeys(value, "…") if key == "env" and isinstance(value, Mapping) else value for key, value in options.items()}


def _exit(how: Exit | None) -> Shape | None:
    return None if how is None else {"code": how.code, "signal": how.signal, "leftovers": how.leftovers, "error": how.error}
