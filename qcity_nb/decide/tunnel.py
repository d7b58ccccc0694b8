"""What a tunnel does next: which provider is asked, when an address counts as up, suspect or gone, and when the preferred one gets another chance.

A state and an event in, a state and acts out. An address is up when a nonce that was asked through it came back from our own door, and for no other
reason; one failed probe never ends one, and what ended it is an event or two probes. Moments are of a clock that never jumps.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from ..model.line import Act, Announce, Answered, App, Ask, Drop, Event, Failed, Given, Line, Look, Missed, Prove, Trial
from ..model.tunnel import Fault, Tried, TunnelPlan, TunnelState, TunnelView

STRIKES = 2
"""Probes that have to fail one after another. They overlap: one is started each second, whether the last one was answered or not."""
QUICK, PATIENT = 1.2, 6.0
"""Seconds that a probe may take: through what can be asked each second, and through what is asked rarely and is far away."""
SLOW_AFTER = 4
"""Probes of an address that is not proved yet which fail before it is given more time to answer."""
AGAIN = 0.25
"""Seconds between two looks at an address that was given and does not answer yet."""
RETRY = timedelta(seconds=2)
RETRY_CAP = timedelta(minutes=5)
MINUTE, OFFLINE = timedelta(minutes=1), timedelta(seconds=5)
STEADY = timedelta(seconds=60)
"""How long a preferred provider has to be well beside the one that serves, before it takes over again."""
RETURNS = timedelta(minutes=10)
"""The time between two such returns."""
QUOTA = timedelta(hours=6)
Which = Literal["trying", "serving"]
BOTH: tuple[Which, ...] = ("trying", "serving")


def begin(plan: TunnelPlan, now: datetime, *, generation: int = 0) -> Line:
    """A tunnel that nobody has done anything for yet; `generation` is the last one that it ever had."""
    return Line(plan=plan, state=TunnelState.OFF, since=now, begun=now, generation=generation)


def step(line: Line, event: Event, now: datetime) -> tuple[Line, tuple[Act, ...]]:
    """What an event means, and what is to be done about it."""
    acts: list[Act] = []
    if line.over:
        return line, ()
    if line.plan.ttl is not None and now - line.begun >= timedelta(seconds=line.plan.ttl):
        return _end(line, now)
    if isinstance(event, Given):
        line = _given(line, event)
    elif isinstance(event, Failed):
        line = _failed(line, event, now, acts)
    elif isinstance(event, Answered):
        line = _answered(line, event, now, acts)
    elif isinstance(event, Missed):
        line = _missed(line, event, now, acts)
    elif isinstance(event, App):
        line = replace(line, app=event.up)
    line = _overdue(line, now, acts)
    line = _next(line, now, acts)
    line = _probes(line, now, acts, at_once=isinstance(event, Look))
    return _named(line, now), tuple(acts)


def deadline(line: Line, now: datetime) -> datetime:
    """When time alone has something to say next."""
    found = [now + timedelta(seconds=5)]
    for trial in (line.serving, line.trying):
        if trial is None:
            continue
        if trial.url:
            found.append((trial.asked or now) + timedelta(seconds=_pace(trial)))
        if trial.proved is None:
            found.append(trial.begun + timedelta(seconds=line.plan.deadline))
    if line.trying is None:
        found += [tried.again for tried in line.out.values() if tried.again is not None and tried.again > now]
    if line.plan.ttl is not None:
        found.append(line.begun + timedelta(seconds=line.plan.ttl))
    return max(min(found), now)


def _given(line: Line, event: Given) -> Line:
    if line.trying is None or line.trying.number != event.number or line.trying.url:
        return line
    return replace(line, trying=replace(line.trying, url=event.url, every=event.every))


def _failed(line: Line, event: Failed, now: datetime, acts: list[Act]) -> Line:
    for which in BOTH:
        trial = _of(line, which)
        if trial is not None and trial.number == event.number:
            tried = Tried(provider=trial.provider, fault=event.fault, text=event.text, todo=event.todo)
            return _out(line, which, tried, now, acts, after=event.after)
    return line


def _answered(line: Line, event: Answered, now: datetime, acts: list[Act]) -> Line:
    for which in BOTH:
        trial = _of(line, which)
        if trial is None or trial.number != event.number or not trial.url:
            continue
        if trial.proved is not None and event.asked < trial.proved:
            return line
        trial = replace(trial, proved=event.asked, well=trial.well or now, latency=event.latency, strikes=0, why=None)
        line = replace(_with(line, which, trial), out={name: tried for name, tried in line.out.items() if name != trial.provider})
        if trial.well is not None and now - trial.well >= STEADY:
            line = replace(line, failures={**line.failures, trial.provider: 0})
        return _takes_over(line, now, acts) if which == "trying" else _called_off(line, acts)
    return line


def _called_off(line: Line, acts: list[Act]) -> Line:
    """What was started because the address was suspect is not needed: it answered."""
    if line.trying is None or _rank(line, line.trying) < _rank(line, line.serving):
        return line
    acts.append(Drop(number=line.trying.number))
    return replace(line, trying=None)


def _takes_over(line: Line, now: datetime, acts: list[Act]) -> Line:
    """The one that was tried gets the address: at once when nobody serves; else when it is preferred and has been well for long enough."""
    trial, old = line.trying, line.serving
    assert trial is not None
    assert trial.well is not None
    if old is not None:
        if old.strikes:
            return line  # a second probe tells
        if now - trial.well < STEADY:
            return line
    return _switch(line, now, acts, why=line.reason if old is None else f"{trial.provider} is well again")


def _switch(line: Line, now: datetime, acts: list[Act], *, why: str) -> Line:
    trial, old = line.trying, line.serving
    assert trial is not None
    if old is not None:
        acts.append(Drop(number=old.number))
    generation = line.generation + 1
    acts.append(Announce(url=trial.url, generation=generation, provider=trial.provider, why=why))
    return replace(line, serving=trial, trying=None, generation=generation, switched=now, reason="")


def _missed(line: Line, event: Missed, now: datetime, acts: list[Act]) -> Line:
    for which in BOTH:
        trial = _of(line, which)
        if trial is None or trial.number != event.number or not trial.url:
            continue
        if trial.proved is not None and event.asked <= trial.proved:
            return line  # one that was started later was answered
        why = Tried(provider=trial.provider, fault=event.fault, text=event.text)
        trial = replace(trial, strikes=trial.strikes + 1, why=why)
        if trial.proved is None or trial.strikes < STRIKES:
            return _with(line, which, trial)
        return _out(line, which, why, now, acts)
    return line


def _out(line: Line, which: Which, tried: Tried, now: datetime, acts: list[Act], *, after: float | None = None) -> Line:
    """A trial is over: its provider is left alone for as long as its fault says."""
    trial = _of(line, which)
    assert trial is not None
    acts.append(Drop(number=trial.number))
    count = line.failures.get(trial.provider, 0) + 1
    again = _again(tried.fault, count, now, after=after)
    out = {**line.out, trial.provider: replace(tried, again=again)}
    line = replace(_with(line, which, None), out=out, failures={**line.failures, trial.provider: count})
    if which == "trying":
        return line
    line = replace(line, reason=f"{trial.provider}: {tried.text}")
    if line.trying is not None and line.trying.proved is not None:
        return _switch(line, now, acts, why=line.reason)
    return line


def _again(fault: Fault, count: int, now: datetime, *, after: float | None) -> datetime | None:
    """When a provider with this fault may be asked again: at once after the first time, then later each time; None when only a person can help."""
    if fault.lasting:
        return None
    if after is not None:
        return now + timedelta(seconds=after)
    if fault is Fault.QUOTA:
        return now + QUOTA
    if fault is Fault.LIMITED:
        return now + MINUTE
    if fault is Fault.NETWORK:
        return now + OFFLINE
    return now + min(RETRY * (2 ** (count - 2)), RETRY_CAP) if count > 1 else now


def _overdue(line: Line, now: datetime, acts: list[Act]) -> Line:
    """One that gave no address, or whose address was not proved, in time."""
    trial = line.trying
    if trial is None or trial.proved is not None or now - trial.begun < timedelta(seconds=line.plan.deadline):
        return line
    if not trial.url:
        tried = Tried(provider=trial.provider, fault=Fault.DEADLINE, text=f"it gave no address within {line.plan.deadline:.0f} s")
    else:
        seen = trial.why or Tried(provider=trial.provider, fault=Fault.SILENT, text="nothing answers there")
        tried = replace(seen, text=f"its address {trial.url} was not proved within {line.plan.deadline:.0f} s: {seen.text}")
    return _out(line, "trying", tried, now, acts)


def _next(line: Line, now: datetime, acts: list[Act]) -> Line:
    """Ask another provider: when nobody serves, when who serves is suspect, or when a preferred one may be well again."""
    if line.trying is not None:
        return line
    free = [one for one in line.plan.chain if _is_free(line, one, now)]
    serving = line.serving
    if serving is not None:
        others = [one for one in free if one != serving.provider]
        if not serving.strikes:
            rested = line.switched is None or now - line.switched >= RETURNS
            others = [one for one in others if rested and _place(line, one) < _place(line, serving.provider)]
        free = others
    else:
        fresh = [one for one in free if not line.failures.get(one)]
        free = fresh or free
    if not free:
        return line
    number = line.numbers + 1
    acts.append(Ask(number=number, provider=free[0]))
    return replace(line, numbers=number, trying=Trial(number=number, provider=free[0], begun=now))


def _is_free(line: Line, provider: str, now: datetime) -> bool:
    tried = line.out.get(provider)
    return tried is None or (tried.again is not None and tried.again <= now)


def _probes(line: Line, now: datetime, acts: list[Act], *, at_once: bool) -> Line:
    for which in BOTH:
        trial = _of(line, which)
        if trial is None or not trial.url:
            continue
        if at_once or trial.asked is None or now - trial.asked >= timedelta(seconds=_pace(trial)):
            acts.append(Prove(number=trial.number, patience=_patience(trial)))
            line = _with(line, which, replace(trial, asked=now))
    return line


def _patience(trial: Trial) -> float:
    """Seconds that one probe of it may take: more than usual for a line that has always been slow, or that may be."""
    if trial.every > 1 or (trial.proved is None and trial.strikes >= SLOW_AFTER):
        return PATIENT
    return max(QUICK, min(PATIENT, 5 * (trial.latency or 0.0)))


def _pace(trial: Trial) -> float:
    """Seconds between two probes of it."""
    if trial.proved is None:
        return AGAIN if trial.every <= 1 and trial.strikes < SLOW_AFTER else 1.0
    return min(trial.every, 1.0) if trial.strikes else trial.every


def _named(line: Line, now: datetime) -> Line:
    """The state that all of this amounts to."""
    state = _state(line)
    return line if state is line.state else replace(line, state=state, since=now)


def _state(line: Line) -> TunnelState:
    if line.serving is not None:
        if line.serving.strikes:
            return TunnelState.SUSPECT
        return TunnelState.UP if line.app else TunnelState.APP_DOWN
    if line.trying is not None:
        if _is_offline(line):
            return TunnelState.NETWORK_DOWN
        return TunnelState.VERIFYING if line.trying.url else TunnelState.STARTING
    if all(name in line.out and line.out[name].again is None for name in line.plan.chain):
        return TunnelState.EXHAUSTED
    return TunnelState.NETWORK_DOWN if _is_offline(line) else TunnelState.WAITING


def _is_offline(line: Line) -> bool:
    """Whether all that was tried lately says that there is no network: then it is this machine's, and nobody is to blame."""
    trying = line.trying.provider if line.trying else ""
    tried = [line.out.get(name) for name in line.plan.chain if name != trying]
    counted = [one for one in tried if one is not None and not one.fault.lasting]
    failed_before = trying == "" or line.failures.get(trying, 0) > 0
    return bool(counted) and failed_before and all(one.fault is Fault.NETWORK for one in counted) and None not in tried


def _end(line: Line, now: datetime) -> tuple[Line, tuple[Act, ...]]:
    acts: list[Act] = [Drop(number=trial.number) for trial in (line.serving, line.trying) if trial is not None]
    acts.append(Announce(url="", generation=line.generation, provider="", why="its time is over"))
    line = replace(line, serving=None, trying=None, state=TunnelState.OFF, since=now, reason="its time is over", over=True)
    return line, tuple(acts)


def _of(line: Line, which: Which) -> Trial | None:
    return line.trying if which == "trying" else line.serving


def _with(line: Line, which: Which, trial: Trial | None) -> Line:
    return replace(line, trying=trial) if which == "trying" else replace(line, serving=trial)


def _place(line: Line, provider: str) -> int:
    return line.plan.chain.index(provider)


def _rank(line: Line, trial: Trial | None) -> int:
    return len(line.plan.chain) if trial is None else _place(line, trial.provider)


def same(new: TunnelView, old: TunnelView) -> bool:
    """Whether nothing but figures moved between two views."""
    return replace(new, latency=old.latency, proved=old.proved) == old


def story(old: Line, new: Line) -> str:
    """What happened, in one sentence; empty when nothing did that a person would tell another."""
    if new.generation > old.generation and new.serving is not None:
        latency = f", {new.serving.latency * 1000:.0f} ms" if new.serving.latency is not None else ""
        return f"{new.serving.provider} leads here now: {new.serving.url} (generation {new.generation}{latency}, proved by nonce)"
    if old.serving is not None and new.serving is None:
        return new.reason
    gone = [new.out[name] for name in new.out if new.out[name] is not old.out.get(name)]
    if gone:
        again = "" if gone[-1].again is None else "; it is tried again later"
        return f"{gone[-1].provider}: {gone[-1].text}{again}"
    if new.state is old.state:
        return ""
    if old.state is TunnelState.SUSPECT and new.state is TunnelState.UP:
        return "it answered: nothing was changed"
    return _STORIES.get(new.state, "")


_STORIES = {
    TunnelState.SUSPECT: "one probe failed: the next provider is being asked",
    TunnelState.APP_DOWN: "the app behind it takes no connections; the tunnel is well and stays",
    TunnelState.UP: "the app behind it is back",
    TunnelState.NETWORK_DOWN: "nothing can be reached from here: this machine has no network",
    TunnelState.EXHAUSTED: "no provider can help before a person does something",
    TunnelState.OFF: "it was closed: its time is over",
}
