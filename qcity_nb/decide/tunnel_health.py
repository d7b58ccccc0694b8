"""How a tunnel, and what follows its address, is for a person: a level and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ..model.tunnel import Followed, TunnelState, TunnelView
from .health import Condition, Level
from .wording import count, line, sentence, span

LEVELS = {
    TunnelState.UP: Level.WELL,
    TunnelState.OFF: Level.OFF,
    TunnelState.STARTING: Level.REPAIRING,
    TunnelState.VERIFYING: Level.REPAIRING,
    TunnelState.SUSPECT: Level.WARN,
    TunnelState.APP_DOWN: Level.WARN,
    TunnelState.WAITING: Level.BAD,
    TunnelState.NETWORK_DOWN: Level.BAD,
    TunnelState.EXHAUSTED: Level.BAD,
}


def condition(view: TunnelView, at: datetime, *, alive: bool = True) -> Condition:
    """How one tunnel is.

    Args:
        alive: whether its process runs.
    """
    if not alive and view.state is not TunnelState.OFF:
        return Condition(level=Level.STALE, text="its process does not run now", todo="qcity engine status says why")
    return Condition(level=LEVELS[view.state], text=_text(view, at), todo=_todo(view))


def why_not(view: TunnelView) -> str:
    """Why a tunnel has no address: what each provider said."""
    said = "; ".join(f"{one.provider}: {one.text}" for one in view.tried)
    if view.state is TunnelState.NETWORK_DOWN:
        return f"this machine reaches nothing ({said})"
    return said or "no provider has answered yet"


def overall(conditions: Mapping[str, Condition], told: Iterable[tuple[str, Followed | None]]) -> Condition | None:
    """All tunnels and what follows them, in one sentence; None when none is open.

    Args:
        told: each follower's key, and what came of telling it last.
    """
    open_ones = {name: one for name, one in conditions.items() if one.level is not Level.OFF}
    if not open_ones:
        return None
    bad = [name for name, one in open_ones.items() if one.level in (Level.BAD, Level.STALE, Level.WARN)]
    if bad:
        worst = min(bad, key=lambda name: open_ones[name].level.rank)
        first = open_ones[worst]
        which = f"{len(bad)} of {len(open_ones)} tunnels are not well: {line(worst)}" if len(bad) > 1 else f"The tunnel {line(worst)}"
        mark = ": " if len(bad) == 1 else ", "
        return Condition(level=first.level, text=f"{which}{mark}{sentence(first.text)}", todo=first.todo)
    failed = [(key, what) for key, what in told if what is not None and not what.ok]
    if failed:
        key, what = failed[0]
        return Condition(level=Level.WARN, text=f"The address was not carried to {line(key)}: {sentence(what.text)}", todo=what.todo)
    asking = [name for name, one in open_ones.items() if one.level is Level.REPAIRING]
    if asking:
        return Condition(level=Level.REPAIRING, text=f"The tunnel {line(asking[0])}: {sentence(open_ones[asking[0]].text)}")
    return Condition(level=Level.WELL, text=f"{count(len(open_ones), 'tunnel is', 'tunnels are')} up.")


def _text(view: TunnelView, at: datetime) -> str:
    age = span(max((at - view.proved).total_seconds(), 0)) if view.proved else ""
    if view.state is TunnelState.UP:
        return f"up by {view.provider}, proved {age} ago"
    if view.state is TunnelState.APP_DOWN:
        return f"the app on port {view.port} is not running; the tunnel ({view.provider}) is well"
    if view.state is TunnelState.SUSPECT:
        return f"{view.provider} did not answer once; it was proved {age} ago"
    if view.state is TunnelState.OFF:
        return "closed" + (f": {view.reason}" if view.reason else "")
    if view.state in (TunnelState.STARTING, TunnelState.VERIFYING):
        return "an address is being asked for" if not view.reason else f"{view.reason}; another address is being asked for"
    return f"no address: {why_not(view)}"


def _todo(view: TunnelView) -> str:
    if view.state is TunnelState.APP_DOWN:
        return f"Start what listens on port {view.port}"
    if view.url or view.state is TunnelState.OFF:
        return ""
    return next((one.todo for one in view.tried if one.todo), "") or f"It goes on trying; qcity tunnel show {view.name} says what happens"
