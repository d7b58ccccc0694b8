"""The supervising state machine under everything that can happen, in any order: it never raises, keeps to its table and its budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import supervise
from qcity_nb.decide.supervise import NEXT, Alarm, Decision, End, GaveUp, Spawn
from qcity_nb.model.service import Desired, Exit, Phase, RestartPolicy, ServiceSpec, ServiceState
from qcity_nb.testing.clock import BEGIN

SPEC = ServiceSpec(name="r", kind="local")
ENDS = st.sampled_from([Exit(code=0), Exit(code=1), Exit(signal=9), Exit(signal=15), Exit(), Exit(error="no such file"), Exit(code=0, leftovers=3)])
WHAT = ["start", "stop", "drain", "busy", "idle", "proved", "job", "adopted", "silent", "exited", "waited", "bar"]
EVENTS = st.sampled_from([*WHAT, "silent while working"])
HISTORY = st.lists(st.tuples(EVENTS, ENDS, st.sampled_from([0.0, 0.1, 1.0, 4.0, 20.0, 90.0, 400.0, 700.0])), max_size=60)
EDGES = {(old, new) for old, ways in NEXT.items() for new in ways.values()}


def happen(state: ServiceState, what: str, how: Exit, now) -> Decision:
    """One event, as the engine would pass it."""
    quiet = timedelta(seconds=61)
    if what == "job":
        return supervise.finished_a_job(state), ()
    if what in ("busy", "idle"):
        state = replace(state, busy=int(what == "busy" and state.phase is Phase.RUNNING))
        return supervise.idle(state, now)
    if what in ("exited", "proved"):
        return supervise.exited(state, SPEC, now, how) if what == "exited" else supervise.proved(state, SPEC, now)
    if what.startswith("silent"):
        return supervise.silent(state, now, quiet=quiet, working="working" in what)
    act = {"start": supervise.started, "stop": supervise.stopped, "drain": supervise.drained}
    act |= {"adopted": supervise.adopted, "waited": supervise.waited}
    if what == "bar":
        return supervise.standing_by(state, now, why="held elsewhere")
    return act[what](state, now)


def play(history):
    """All steps of a history: (event, moment, state before, state after, intents)."""
    state, now = ServiceState(name="r", since=BEGIN), BEGIN
    for what, how, seconds in history:
        now += timedelta(seconds=seconds)
        after, intents = happen(state, what, how, now)
        yield what, now, state, after, intents
        state = replace(after, incident=1 if any(isinstance(i, Alarm) for i in intents) else after.incident)


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_nothing_ever_raises_and_every_change_is_in_the_table(history):
    """One event may be two steps of the table (found alive although it was to be down), never one that is not there."""
    for what, _now, before, after, _intents in play(history):
        if after.phase is not before.phase:
            between = {new for old, new in EDGES if old is before.phase}
            direct = (before.phase, after.phase) in EDGES
            assert direct or any((middle, after.phase) in EDGES for middle in between), f"{what}: {before.phase} -> {after.phase}"


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_the_restart_budget_is_never_exceeded(history):
    """Between two proofs of health or requests by a person, no ten minutes see more than five automatic restarts."""
    restarts = []
    for what, now, before, after, intents in play(history):
        asked = what == "start" and any(isinstance(i, Spawn) for i in intents)
        healthy = what == "proved" and before.failures and not after.failures
        if what == "job" or asked or healthy:
            restarts.clear()
        elif what in ("exited", "waited") and any(isinstance(i, Spawn) for i in intents):
            asked_for = before.phase is Phase.STOPPING and not before.repairing
            if not asked_for:
                restarts.append(now)
        window = [at for at in restarts if now - at < SPEC.policy.window]
        assert len(window) <= SPEC.policy.burst


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_a_spawn_is_a_new_incarnation_and_only_starting_has_one(history):
    for _what, _now, before, after, intents in play(history):
        spawns = [i for i in intents if isinstance(i, Spawn)]
        assert len(spawns) <= 1
        if spawns:
            assert after.phase is Phase.STARTING
            assert spawns[0].incarnation == after.incarnation == before.incarnation + 1
        else:
            assert after.incarnation == before.incarnation


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_a_commanded_stop_stays_stopped(history):
    """After `stop` nothing but a person's `start` ever spawns."""
    commanded = False
    for what, _now, _before, _after, intents in play(history):
        if what == "stop":
            commanded = True
        elif what == "start":
            commanded = False
        assert not (commanded and any(isinstance(i, Spawn) for i in intents))


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_a_working_service_is_never_ended_for_its_silence(history):
    for what, _now, _before, _after, intents in play(history):
        if what == "silent while working":
            assert intents == ()


@given(HISTORY)
@settings(max_examples=400, deadline=None)
def test_giving_up_is_said_and_quarantines(history):
    for what, _now, before, after, intents in play(history):
        gave_up = [i for i in intents if isinstance(i, GaveUp)]
        into_quarantine = after.phase is Phase.QUARANTINED and before.phase is not Phase.QUARANTINED
        assert bool(gave_up) == into_quarantine
        assert not (gave_up and any(isinstance(i, (Spawn, End)) for i in intents))
        if what != "exited":
            assert not gave_up


@given(HISTORY)
@settings(max_examples=300, deadline=None)
def test_once_faults_cease_it_comes_to_rest(history):
    """From any state, an obedient process and passing time end in running, stopped or quarantined: never in between for ever."""
    state, now = ServiceState(name="r", since=BEGIN), BEGIN
    for _what, _now, _before, _state, _intents in play(history):
        state, now = replace(_state, busy=0), _now
    for _round in range(12):
        now += timedelta(seconds=400)
        if state.phase is Phase.STARTING:
            state, _ = supervise.proved(state, SPEC, now)
        elif state.phase is Phase.STOPPING:
            state, _ = supervise.exited(state, SPEC, now, Exit(signal=15))
        elif state.phase is Phase.BACKOFF:
            state, _ = supervise.waited(state, now)
        state, _ = supervise.idle(state, now)
    assert state.phase in (Phase.RUNNING if state.desired is Desired.UP and not state.standby else Phase.STOPPED, Phase.QUARANTINED)


@given(st.integers(0, 5000), st.text(max_size=8))
def test_delays_grow_to_the_cap_and_stay_within_their_jitter(failures, name):
    policy = RestartPolicy()
    wait = supervise.delay(policy, name, failures)
    assert timedelta(0) <= wait <= policy.cap * (1 + policy.jitter)
    if failures <= 1:
        assert wait == timedelta(0)
    else:
        assert wait >= min(policy.base * 2.0 ** min(failures - 2, 20), policy.cap) * (1 - policy.jitter)


@given(HISTORY)
@settings(max_examples=200, deadline=None)
def test_what_stands_by_is_started_only_when_somebody_says_so(history):
    """Neither its end, nor a delay that is over, nor anything found starts it: only a start, which its place does when it holds the claim."""
    for what, _now, before, _after, intents in play(history):
        if before.standby and what != "start":
            assert not any(isinstance(intent, Spawn) for intent in intents), what


def test_every_phase_has_a_row_and_every_row_is_reachable():
    assert set(NEXT) == set(Phase)
    reached = {Phase.STOPPED}
    for _ in Phase:
        reached |= {new for old, new in EDGES if old in reached}
    assert reached == set(Phase)
