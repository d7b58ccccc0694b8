"""The state machine of a service: what happened goes in, the next state and what to do about it come out.

The table `NEXT` holds every legal way from phase to phase; anything else raises. It is what the drawing in the
architecture notes is made from. Delays and budgets follow Kubernetes' crash-loop back-off and OTP's restart intensity.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..model.service import Desired, Exit, Phase, RestartPolicy, ServiceSpec, ServiceState

S, A, R, T, B, Q = Phase.STOPPED, Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.BACKOFF, Phase.QUARANTINED

NEXT: dict[Phase, dict[str, Phase]] = {
    S: {"start": A, "adopt": R},
    A: {"proved": R, "exit, asks for a person": Q, "exit, first of its row": A, "exit": B, "exit, budget spent": Q, "stop": T, "silent": T},
    R: {
        "exit, its work done": A,
        "exit, first of its row": A,
        "exit": B,
        "exit, budget spent": Q,
        "exit, asks for a person": Q,
        "exit, drained": S,
        "stop": T,
        "silent": T,
    },
    T: {"exit": S, "exit, wanted up": A, "exit, wanted up later": B, "exit, budget spent": Q},
    B: {"delay over": A, "stop": S, "adopt": R, "start": A},
    Q: {"start": A, "stop": S, "adopt": R},
}
"""phase -> {why: next phase}."""


@dataclass(frozen=True, kw_only=True)
class Spawn:
    """Start the service's process as this incarnation."""

    service: str
    incarnation: int


@dataclass(frozen=True, kw_only=True)
class End:
    """End the service's whole tree: its stop signal first, after the grace period a kill."""

    service: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Open an incident: the service flipped for a reason that nobody asked for."""

    service: str
    title: str
    cause: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mended:
    """The service is well again; `proof` says how that is known."""

    service: str
    proof: str


@dataclass(frozen=True, kw_only=True)
class GaveUp:
    """The restart budget is spent: the service is quarantined and a person has to look."""

    service: str
    why: str


Intent = Spawn | End | Alarm | Mended | GaveUp
Decision = tuple[ServiceState, tuple[Intent, ...]]


def move(state: ServiceState, why: str, now: datetime, **changes: object) -> ServiceState:
    """The state after one legal step.

    Raises:
        KeyError: the table knows no such way out of this phase.
    """
    return replace(state, phase=NEXT[state.phase][why], since=now, **changes)  # type: ignore[arg-type]  # the fields are checked by replace


def delay(policy: RestartPolicy, name: str, failures: int) -> timedelta:
    """How long to wait before restart number `failures` of a row: none before the first, then base, 2 base, 4 base, up to the cap.

    Jitter is drawn from the name and the number, so that deciding stays a function and a fleet still spreads.
    """
    if failures <= 1:
        return timedelta(0)
    plain = min(policy.base * float(2 ** min(failures - 2, 32)), policy.cap)
    draw = zlib.crc32(f"{name}/{failures}".encode()) / 0xFFFFFFFF * 2 - 1
    return plain * (1 + policy.jitter * draw)


def started(state: ServiceState, now: datetime) -> Decision:
    """A person asks for the service to be up."""
    state = replace(state, desired=Desired.UP, standby=False, pause=None)
    if state.phase in (S, B, Q):
        return _spawn(replace(state, failures=0, starts=()), "start", now)
    return state, ()  # starting, running; or stopping: its exit will see that it is wanted up again


def stopped(state: ServiceState, now: datetime, *, why: str = "asked to stop") -> Decision:
    """A person asks for the service to be down."""
    state = replace(state, desired=Desired.DOWN, standby=False, pause=None)
    if state.phase in (B, Q):
        return move(state, "stop", now, next_at=None, reason=why), ()
    if state.phase in (A, R):
        return move(state, "stop", now, reason=why), (End(service=state.name, reason=why),)
    return state, ()


def standing_by(state: ServiceState, now: datetime, *, why: str) -> Decision:
    """The service is wanted up, and its place does not hold its claim: what lives of it ends, and it waits."""
    state = replace(state, standby=True)
    if state.phase in (B, Q):
        return move(state, "stop", now, next_at=None, reason=why), ()
    if state.phase in (A, R):
        return move(state, "stop", now, reason=why), (End(service=state.name, reason=why),)
    return (replace(state, reason=why) if state.phase is S else state), ()


def drained(state: ServiceState, now: datetime) -> Decision:
    """A person asks the service to finish what it has and then to stop."""
    state = replace(state, desired=Desired.DRAINED)
    return idle(state, now) if state.busy == 0 else (state, ())


def idle(state: ServiceState, now: datetime) -> Decision:
    """The service has no work left: a drained one may go."""
    if state.desired is Desired.DRAINED and state.busy == 0:
        down, intents = stopped(state, now, why="drained")
        return replace(down, desired=Desired.DRAINED, pause=state.pause), intents
    return state, ()


def pause_is_over(state: ServiceState, wall: datetime) -> bool:
    """Whether a service that was paused for a while is to start now."""
    return state.pause is not None and state.pause.until is not None and state.pause.until <= wall and state.desired is Desired.DRAINED


def proved(state: ServiceState, spec: ServiceSpec, now: datetime, *, proof: str = "it gave a sign of life after the restart") -> Decision:
    """A sign of life arrived: a beat, progress in its log, a second of being alive where there is nothing else, or an attendant's word."""
    state = replace(state, suspicions=0)
    if state.phase is A:
        state = move(state, "proved", now, reason="")
        return state, (Mended(service=state.name, proof=proof),) if state.incident else ()
    if state.phase is R and state.failures and now - state.since >= spec.policy.reset_after:
        state = replace(state, failures=0, starts=())
    return state, ()


def finished_a_job(state: ServiceState) -> ServiceState:
    """A job that came to its end is the best proof of health: the restart budget is full again."""
    return replace(state, failures=0, starts=())


def adopted(state: ServiceState, now: datetime) -> Decision:
    """A new engine found the service's processes alive."""
    if state.phase in (S, B, Q):
        state = move(state, "adopt", now, next_at=None, standby=False, reason="found alive")
        if state.desired is Desired.DOWN:
            return stopped(state, now, why="found alive although it was asked to stop")
    elif state.phase is T:
        return state, (End(service=state.name, reason=state.reason),)
    return state, ()


def silent(state: ServiceState, now: datetime, *, quiet: timedelta, working: bool) -> Decision:
    """The service is alive and says nothing. Observed twice, it is ended and started again; a working one is never touched."""
    if state.phase not in (A, R):
        return state, ()
    if working:
        return replace(state, suspicions=0), ()
    if state.suspicions == 0:
        return replace(state, suspicions=1), ()
    why = f"alive but silent for {quiet.total_seconds():.0f} s, seen twice"
    after = move(state, "silent", now, suspicions=0, repairing=True, reason=why)
    alarm = () if state.incident else (Alarm(service=state.name, title=f"{state.name} went silent", cause=why),)
    return after, (*alarm, End(service=state.name, reason=why))


def ailing(state: ServiceState, now: datetime, *, title: str, cause: str, evidence: tuple[str, ...] = ()) -> Decision:
    """Only a restart mends it: an agent's attendant has proved that, and made sure that it is not busy; or a person wants it, busy or not."""
    if state.phase not in (A, R):
        return state, ()
    after = move(state, "silent", now, suspicions=0, repairing=True, reason=cause)
    alarm = () if state.incident else (Alarm(service=state.name, title=title, cause=cause, evidence=evidence),)
    return after, (*alarm, End(service=state.name, reason=cause))


def exited(state: ServiceState, spec: ServiceSpec, now: datetime, how: Exit, *, natural: str = "", person: str = "") -> Decision:
    """The service's processes are gone: all of them, the leftovers too.

    Args:
        natural: why this was no failure: an ephemeral agent has done its job, an update waits to be started.
        person: why only a person can go on; it is quarantined at once.
    """
    state = replace(state, last_exit=how, suspicions=0, busy=0)
    if state.phase in (S, B, Q):
        return state, ()
    if state.desired is not Desired.UP or state.standby:
        why = "exit" if state.phase is T else "exit, drained"
        if state.phase is A:
            state = move(state, "stop", now)
            why = "exit"
        return move(state, why, now, next_at=None, reason=state.reason or "asked to stop"), ()
    if state.phase is T and not state.repairing:  # stopped and started again by a person: no failure
        return _spawn(state, "exit, wanted up", now)
    if person:
        alarm = () if state.incident else (Alarm(service=state.name, title=f"{state.name} needs you", cause=person),)
        gave_up = GaveUp(service=state.name, why=person)
        way = "exit, budget spent" if state.phase is T else "exit, asks for a person"
        return move(state, way, now, next_at=None, reason=person), (*alarm, gave_up)
    if natural and state.phase is R:
        return _spawn(replace(state, failures=0, starts=()), "exit, its work done", now)
    return _restart(state, spec, now, how)


def waited(state: ServiceState, now: datetime) -> Decision:
    """Time has passed: a service whose delay is over starts again."""
    if state.phase is B and state.next_at is not None and now >= state.next_at:
        return _spawn(replace(state, starts=(*state.starts, now)), "delay over", now)
    return state, ()


def describe(how: Exit, last_words: str = "") -> str:
    """One sentence on how a process ended, for an incident's cause."""
    if how.error:
        return f"it could not be started: {how.error}"
    if how.signal is not None:
        by = "killed from outside" if how.signal == 9 else "ended by a signal"
        tail = f'; its last line was "{last_words}"' if last_words else "; nothing in its log says it failed by itself"
        return f"its process was {by} (signal {how.signal}){tail}"
    if how.code is None:
        return "its process was found gone; nobody was there to see its exit code"
    tail = f': "{last_words}"' if last_words else ""
    return f"its process ended by itself with exit code {how.code}{tail}"


def _spawn(state: ServiceState, why: str, now: datetime) -> Decision:
    state = move(state, why, now, incarnation=state.incarnation + 1, next_at=None, repairing=False, reason="")
    return state, (Spawn(service=state.name, incarnation=state.incarnation),)


def _restart(state: ServiceState, spec: ServiceSpec, now: datetime, how: Exit) -> Decision:
    policy, silent_one = spec.policy, state.repairing
    healthy = state.phase is R and now - state.since >= policy.reset_after
    failures = 1 if healthy else state.failures + 1
    starts = tuple(at for at in state.starts if timedelta(0) <= now - at < policy.window)
    state = replace(state, failures=failures, starts=starts)
    cause = describe(how)
    title = f"{state.name} could not be started" if how.error else f"{state.name} died"
    alarm = () if silent_one or state.incident else (Alarm(service=state.name, title=title, cause=cause),)
    if len(starts) >= policy.burst:
        minutes = policy.window.total_seconds() / 60
        why = f"{policy.burst} restarts in {minutes:.0f} minutes did not help; {cause}"
        return move(state, "exit, budget spent", now, next_at=None, reason=why), (*alarm, GaveUp(service=state.name, why=why))
    wait = delay(policy, state.name, failures)
    if wait <= timedelta(0):
        way = "exit, wanted up" if silent_one else "exit, first of its row"
        after, spawn = _spawn(replace(state, starts=(*starts, now)), way, now)
        return after, (*alarm, *spawn)
    way = "exit, wanted up later" if silent_one else "exit"
    return move(state, way, now, next_at=now + wait, reason=cause), alarm
