"""What the state of everything means for a person: one condition for each runner, one headline for all, the worst first. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from ..errors import advice
from ..model.schedule import Run, RunState
from ..model.service import Desired, Pause, Phase, ServiceState
from .wording import count, line, sentence, since, span


class Level(Enum):
    """How well something is; the order is from bad to good. Each has a glyph and a word, so that colour is never alone."""

    BAD = "bad"
    STALE = "stale"
    REPAIRING = "repairing"
    WARN = "attention"
    OFF = "off"
    WELL = "well"

    @property
    def glyph(self) -> str:
        """One character that says the same."""
        return {"bad": "✖", "stale": "◌", "repairing": "↻", "attention": "▲", "off": "○", "well": "●"}[self.value]

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Level).index(self)


class EngineState(Enum):
    """What is known of a place's engine."""

    RUNNING = "running"
    STOPPED = "stopped"  # on purpose
    DEAD = "dead"
    NEVER = "never started"


STANDS_BY = "stands by: "
WEAKER = "sandbox"
"""The trouble that takes nothing from a runner but the strength of its sandbox: said, and not a failure."""


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """The engine of a place: `last` is its last sign of life, `note` what it says is wrong with itself."""

    state: EngineState
    last: datetime | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RunnerFacts:
    """What judging one runner needs."""

    state: ServiceState
    trouble: Mapping[str, str] = field(default_factory=dict)
    repairing: bool = False  # an incident of it is open
    foreign: bool = False  # somebody else started it
    remote: str = ""  # what its platform keeps us from knowing


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How something is: a level, what a person reads (without the name, no final stop) and what to do next (may be empty)."""

    level: Level
    text: str
    todo: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "todo", advice(self.todo))


@dataclass(frozen=True, kw_only=True)
class Work:
    """The jobs of a place in numbers. `wait` is the 95th percentile of the time between queued and started."""

    running: int = 0
    queued: int = 0
    wait: timedelta | None = None


def engine(facts: EngineFacts, now: datetime) -> Condition:
    """How the engine is."""
    if facts.state is EngineState.RUNNING:
        if facts.note:
            return Condition(level=Level.WARN, text=f"is running, and says: {facts.note}", todo="qcity doctor says more")
        return Condition(level=Level.WELL, text="is running")
    if facts.state is EngineState.NEVER:
        return Condition(level=Level.OFF, text="was never started here", todo="qcity up starts it")
    if facts.state is EngineState.STOPPED:
        return Condition(level=Level.OFF, text=f"was stopped {since(facts.last, now)}", todo="qcity up starts it again")
    text = f"died: its last sign of life was {since(facts.last, now)}"
    return Condition(level=Level.STALE, text=text, todo="qcity up starts it again and adopts what still runs")


def runner(facts: RunnerFacts, of: EngineFacts, now: datetime) -> Condition:
    """How one runner is. What nobody watches any more is stale, whatever it was."""
    state, name = facts.state, facts.state.name
    if of.state is not EngineState.RUNNING:
        if state.phase is Phase.STOPPED:
            return Condition(level=Level.OFF, text="is stopped")
        when = f", {since(of.last, now)}" if of.last else ""
        word = {Phase.BACKOFF: "waiting to be restarted"}.get(state.phase, state.phase.value)
        was = f"was {word} when it was last looked at{when}"
        return Condition(level=Level.STALE, text=was, todo="qcity up starts the engine again")
    if facts.foreign:
        return _foreign(facts)
    if state.phase is Phase.QUARANTINED:
        todo = f"qcity runner logs {name}, then qcity runner start {name} once the cause is gone"
        return Condition(level=Level.BAD, text=f"is quarantined: {state.reason or 'restarting it did not help'}", todo=todo)
    if state.phase is Phase.BACKOFF:
        wait = "soon" if state.next_at is None else f"in {span(state.next_at - now)}"
        text = f"ended {count(state.failures, 'time')} in a row and starts again {wait}: {state.reason}"
        return Condition(level=Level.REPAIRING, text=text, todo=f"qcity runner logs {name} shows what it said")
    if state.phase in (Phase.STOPPED, Phase.STOPPING):
        return _going(state)
    return _up(facts)


@dataclass(frozen=True, kw_only=True)
class Notebooks:
    """Notebooks in numbers. `failing` are the last runs of schedules that did not end well; `upcoming` is the schedule that is next."""

    running: int = 0
    waiting: int = 0
    schedules: int = 0
    failing: tuple[Run, ...] = ()
    upcoming: str = ""
    at: datetime | None = None


def notebooks(of: Notebooks, now: datetime) -> Condition | None:
    """How notebooks are, in one sentence; None when there is none."""
    if of.failing:
        first = of.failing[0]
        total = f"{len(of.failing)} of {of.schedules} schedules" if of.schedules > 1 else "The schedule"
        word = "were missed or failed" if len(of.failing) > 1 else "was missed" if first.state is RunState.MISSED else "failed"
        text = f"{total} {word} at the last run: {line(first.schedule)}, {sentence(line(first.reason))}"
        return Condition(level=Level.WARN, text=text, todo=f"qcity notebook show {first.id} says more")
    if not (of.running or of.waiting or of.schedules):
        return None
    waits = f", {of.waiting} {'waits' if of.waiting == 1 else 'wait'}" if of.waiting else ""
    now_ = f"{count(of.running, 'notebook')} running{waits}." if of.running or of.waiting else "No notebook is running."
    soon = f" Next: {line(of.upcoming)} in {span(max(of.at - now, timedelta(0)))}." if of.at is not None else ""
    return Condition(level=Level.WELL, text=now_ + soon)


def headline(
    of: EngineFacts, conditions: Mapping[str, Condition], work: Work, now: datetime, *, about: Iterable[Condition] = ()
) -> Condition:
    """The one sentence above everything, with what to do next.

    Args:
        about: how notebooks and tunnels are: they are heard of when there is no runner, or nothing worse.
    """
    total, others = len(conditions), sorted(about, key=lambda one: one.level.rank)
    if of.state is not EngineState.RUNNING and (total or of.state is EngineState.DEAD):
        how = engine(of, now)
        tail = " What you see is the last that was known." if any(c.level is Level.STALE for c in conditions.values()) else ""
        return Condition(level=how.level, text=f"The engine {how.text}.{tail}", todo=how.todo)
    if not total and others:
        return others[0]
    if not total:
        return Condition(level=Level.OFF, text="No runner yet.", todo="qcity runner start local PATH_OF_A_REPOSITORY makes one")
    for level, word in ((Level.BAD, ("needs you", "need you")), (Level.REPAIRING, ("is being repaired", "are being repaired"))):
        names = [name for name, condition in conditions.items() if condition.level is level]
        if names:
            return _some(names, total, word, conditions)
    if of.note:
        return Condition(level=Level.WARN, text=sentence(of.note), todo="qcity doctor says more")
    ups = [name for name, condition in conditions.items() if condition.level is not Level.OFF]
    standing = [name for name, condition in conditions.items() if condition.text.startswith(STANDS_BY)]
    if standing and not ups:
        text = f"{standing[0]} {sentence(conditions[standing[0]].text)}"
        return Condition(level=Level.OFF, text=text, todo="qcity fleet status says more")
    if not ups:
        who = f"{next(iter(conditions))} is" if total == 1 else f"All {total} runners are"
        waits = f" {count(work.queued, 'job waits', 'jobs wait')} for one." if work.queued else ""
        todo = "qcity runner start NAME starts one again"
        return Condition(level=Level.WARN if work.queued else Level.OFF, text=f"{who} stopped, as asked.{waits}", todo=todo)
    odd = [name for name in ups if conditions[name].level is Level.WARN]
    if odd:
        return Condition(level=Level.WARN, text=f"{odd[0]} {sentence(conditions[odd[0]].text)} {_load(work)}".strip(), todo=conditions[odd[0]].todo)
    if others and others[0].level is not Level.WELL:
        return others[0]
    who = f"{ups[0]} is well." if total == 1 else f"All {total} runners are well."
    if 1 < total != len(ups):
        rest = "stopped or standing by" if standing else "stopped as asked"
        who = f"{count(len(ups), 'runner is', 'runners are')} well, {total - len(ups)} {rest}."
    return Condition(level=Level.WELL, text=f"{who} {_load(work)}".strip())


def percentile(values: Iterable[timedelta], share: float = 0.95) -> timedelta | None:
    """The smallest value that at least this share of all values does not exceed (nearest rank); None without values."""
    ordered: Sequence[timedelta] = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _up(facts: RunnerFacts) -> Condition:
    """How one is that lives, or is about to."""
    state, name = facts.state, facts.state.name
    trouble = "; ".join(text for about, text in facts.trouble.items() if text and about != WEAKER)
    if trouble:
        return Condition(level=Level.BAD, text=f"has a problem: {trouble}", todo=f"qcity runner show {name} says more")
    if facts.remote and state.phase is Phase.RUNNING:
        return Condition(level=Level.STALE, text=f"is up, and {facts.remote}")
    if facts.repairing:
        text = "is being repaired" if state.phase is Phase.STARTING else "is up again, its last job still has to prove it"
        return Condition(level=Level.REPAIRING, text=text)
    if state.phase is Phase.STARTING:
        return Condition(level=Level.REPAIRING if state.failures else Level.WARN, text="is starting")
    if state.desired is Desired.DRAINED:
        then = f", then it {_resting(state.pause)}" if state.pause else ""
        return Condition(level=Level.WARN, text=f"is draining: {count(state.busy, 'job')} to finish{then}")
    if state.suspicions:
        return Condition(level=Level.WARN, text="has been silent for longer than it should")
    text = f"is running {count(state.busy, 'job')}" if state.busy else "is up"
    if weaker := facts.trouble.get(WEAKER):
        return Condition(level=Level.WARN, text=f"{text}, and its jobs are not fully shut in: {weaker}", todo="qcity doctor says more")
    return Condition(level=Level.WELL, text=text)


def _foreign(facts: RunnerFacts) -> Condition:
    """An agent of somebody else: what is seen of it, and that nothing is done."""
    if facts.state.phase is not Phase.RUNNING:
        return Condition(level=Level.OFF, text="is gone; somebody else started it")
    trouble = "; ".join(text for text in facts.trouble.values() if text)
    if trouble:
        return Condition(level=Level.WARN, text=f"has a problem: {trouble}", todo="It is watched only: mend it the way it was started")
    return Condition(level=Level.WELL, text="is running a job, watched only" if facts.state.busy else "is up, watched only: somebody else started it")


def _going(state: ServiceState) -> Condition:
    if state.phase is Phase.STOPPING:
        if state.repairing:
            return Condition(level=Level.REPAIRING, text=f"is being ended to start again: {state.reason}")
        return Condition(level=Level.WARN, text="is stopping")
    if state.desired is Desired.UP and state.standby:
        return Condition(level=Level.OFF, text=f"{STANDS_BY}{state.reason}")
    if state.desired is Desired.UP:
        return Condition(level=Level.WARN, text="is stopped although it should be up")
    if state.desired is Desired.DRAINED and state.pause is not None:
        return Condition(level=Level.OFF, text=_resting(state.pause), todo=f"qcity runner start {state.name} ends it sooner")
    return Condition(level=Level.OFF, text="is stopped" + (", drained" if state.desired is Desired.DRAINED else ""))


def _resting(pause: Pause) -> str:
    until = "" if pause.until is None else f" until {pause.until:%Y-%m-%d %H:%M} UTC"
    return f"is paused{until}{f' by {pause.by}' if pause.by else ''}{f': {line(pause.note)}' if pause.note else ''}"


def _some(names: list[str], total: int, word: tuple[str, str], conditions: Mapping[str, Condition]) -> Condition:
    first = conditions[names[0]]
    more = f" And {', '.join(names[1:4])}{', …' if len(names) > 4 else ''}." if len(names) > 1 else ""
    text = f"{len(names)} of {total} {word[len(names) > 1]}: {names[0]} {sentence(first.text)}{more}"
    return Condition(level=first.level, text=text, todo=first.todo)


def _load(work: Work) -> str:
    waits = f", jobs wait {span(work.wait)} (p95)" if work.wait is not None else ""
    queue = f", {work.queued} queued" if work.queued else ""
    return (f"{work.running} busy" if work.running else "Nothing runs") + f"{queue}{waits}."
