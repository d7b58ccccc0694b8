"""A place as Prometheus reads it, in the text format 0.0.4: base units, counters that end in `_total`, everything else a gauge of now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .. import __version__
from ..client.view import View
from ..decide.health import EngineState, Level
from ..decide.tunnel_health import LEVELS

TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]


def text(view: View, *, finished: Mapping[str, int], opened: int, visitors: int) -> str:
    """All of it.

    Args:
        finished: jobs that ever ended, by outcome.
        opened: incidents that were ever opened.
        visitors: how many look at the page.
    """
    work, engine = view.work, view.engine
    seen = engine.last.timestamp() if engine.last is not None else 0.0
    parts = [
        _family("build_info", "gauge", "The version that serves this.", [({"version": __version__}, 1)]),
        _one("engine_up", "Whether the engine lives.", float(engine.state is EngineState.RUNNING)),
        _one("engine_last_seen_timestamp_seconds", "The engine's last sign of life; 0 when never.", seen),
        _one("engine_generation", "How many engines this place has had.", engine.generation),
        *_runners(view),
        _one("jobs_running", "Jobs that run now.", work.running),
        _one("jobs_queued", "Jobs that wait for a runner.", work.queued),
        _one("job_wait_p95_seconds", "95th percentile of the wait of jobs begun in the last day.", work.wait.total_seconds() if work.wait else 0.0),
        _family("jobs_finished_total", "counter", "Jobs that ended, by outcome.", [({"outcome": key}, n) for key, n in sorted(finished.items())]),
        _one("incidents_open", "Incidents that are not over.", len(view.incidents)),
        _family("incidents_total", "counter", "Incidents that were ever opened.", [({}, opened)]),
        *_tunnels(view),
        _platforms(view),
        _one("notebook_runs_running", "Runs of notebooks that run now.", view.notebooks.running),
        _one("notebook_schedules_failing", "Schedules whose last run did not end well.", len(view.notebooks.failing)),
        _one("page_visitors", "Open streams of the served page.", visitors),
    ]
    return "".join(parts)


def _runners(view: View) -> list[str]:
    rows = [({"runner": name, "kind": one.row.spec.kind}, one) for name, one in view.runners.items()]
    up = [(labels, float(one.condition.level in (Level.WELL, Level.WARN))) for labels, one in rows]
    health = [({**labels, "health": one.condition.level.value}, 1.0) for labels, one in rows]
    share = [(labels, one.uptime) for labels, one in rows if one.uptime is not None]
    return [
        _family("runner_up", "gauge", "Whether the runner is up.", up),
        _family("runner_health", "gauge", "1 for the health that the runner is in.", health),
        _family("runner_busy_jobs", "gauge", "Jobs that the runner runs.", [(labels, one.row.state.busy) for labels, one in rows]),
        _family("runner_incarnation", "gauge", "How often the runner was started.", [(labels, one.row.state.incarnation) for labels, one in rows]),
        _family("runner_up_ratio", "gauge", "Share of the last 24 hours in which the runner was up.", share),
    ]


def _tunnels(view: View) -> list[str]:
    rows = [({"tunnel": row.name, "provider": row.view.provider}, row.view) for row in view.tunnels]
    up = [(labels, float(LEVELS[one.state] is Level.WELL)) for labels, one in rows]
    slow = [(labels, one.latency) for labels, one in rows if one.latency is not None]
    return [
        _family("tunnel_up", "gauge", "Whether a nonce comes back through its address.", up),
        _family("tunnel_generation", "gauge", "How many addresses the tunnel has had.", [(labels, one.generation) for labels, one in rows]),
        _family("tunnel_latency_seconds", "gauge", "How long the last proof took.", slow),
    ]


def _platforms(view: View) -> str:
    says = {row.name: "unknown" if view.platforms[row.name].level is Level.STALE else row.view.says.value for row in view.watched}
    rows = [({"platform": name, "says": word}, 1.0) for name, word in says.items()]
    return _family("platform_says", "gauge", "1 for what the platform says of itself; what is too old is unknown.", rows)


def _one(name: str, told: str, value: float) -> str:
    return _family(name, "gauge", told, [({}, value)])


def _family(name: str, kind: str, told: str, samples: Iterable[Sample]) -> str:
    lines = [f"qcity_{name}{_labels(labels)} {float(value):.15g}" for labels, value in samples]
    return "\n".join([f"# HELP qcity_{name} {told}", f"# TYPE qcity_{name} {kind}", *lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
