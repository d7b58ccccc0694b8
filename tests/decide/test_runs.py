"""What becomes of runs: planned once, begun in order and within limits, tried again, lost, called off; whatever happens, each ends once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import runs
from qcity_nb.model.schedule import CatchUp, Retry, Run, RunPlan, RunState, Schedule

NOW = datetime(2026, 11, 25, 12, 0, 30, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def run(number: int = 1, **more: object) -> Run:
    known = {"id": number, "schedule": "s", "key": str(number), "plan": RunPlan(notebook="/n.ipynb"), "at": NOW, "start": NOW, "planned": NOW}
    return Run(**{"state": RunState.PLANNED, **known, **more})  # type: ignore[arg-type]


def taken(one: Run) -> Run:
    return replace(runs.begun(one, owner="me", token="t", incarnation=1, now=NOW), started=NOW)


def test_the_oldest_begin_first_and_no_more_than_there_is_room_for():
    known = [run(3, start=NOW - 1 * SECOND), run(1, start=NOW - 3 * SECOND), run(2, start=NOW - 2 * SECOND), run(4, start=NOW + SECOND)]
    assert [one.id for one in runs.startable(known, {}, now=NOW, slots=2)] == [1, 2]
    assert [one.id for one in runs.startable(known, {}, now=NOW, slots=9)] == [1, 2, 3]
    assert runs.startable(known, {}, now=NOW, slots=0) == []


def test_a_schedule_runs_no_more_at_once_than_it_may():
    known = [run(1, state=RunState.RUNNING), run(2), run(3, schedule="other"), run(4)]
    assert [one.id for one in runs.startable(known, {"s": 1, "other": 1}, now=NOW, slots=9)] == [3]
    assert [one.id for one in runs.startable(known, {"s": 2}, now=NOW, slots=9)] == [2, 3]


@pytest.mark.parametrize(("catch_up", "states"), [("none", ["missed", "missed"]), ("latest", ["missed", "planned"]), ("all", ["planned", "planned"])])
def test_moments_of_a_downtime(catch_up, states):
    hourly = Schedule(name="h", plan=RunPlan(notebook="/n"), cron="0 * * * *", catch_up=CatchUp(catch_up))
    now = NOW.replace(minute=30)
    planned, dealt = runs.plan(hourly, dealt=now - timedelta(hours=2), now=now)
    assert [one.state.value for one in planned] == states
    assert [one.key for one in planned] == ["h/2026-11-25T11:00:00Z", "h/2026-11-25T12:00:00Z"]
    assert dealt == now.replace(minute=0, second=0)
    assert runs.plan(hourly, dealt=dealt, now=now) == ([], dealt)


def test_a_run_that_failed_is_tried_again_later_each_time():
    one, waits = taken(run(plan=RunPlan(notebook="/n", retry=Retry(times=2, base=10 * SECOND, jitter=0)))), []
    for _ in range(2):
        again = runs.ended(one, RunState.FAILED, "cell 1: Oh", now=NOW)
        assert (again.state, again.started, again.owner) == (RunState.PLANNED, None, "")
        waits.append(again.start - NOW)
        one = taken(again)
    assert waits == [10 * SECOND, 20 * SECOND]
    over = runs.ended(one, RunState.FAILED, "cell 1: Oh", now=NOW)
    assert (over.state, over.attempt, len(over.attempts)) == (RunState.FAILED, 3, 2)


def test_a_worker_that_dies_costs_a_life_only_if_the_run_had_begun():
    one = runs.begun(run(), owner="me", token="t", incarnation=1, now=NOW)
    again = runs.lost(one, "its worker died", now=NOW)
    assert (again.state, again.attempt, again.losses) == (RunState.PLANNED, 1, 0)
    for losses in (1, 2):
        again = runs.lost(taken(again), "its worker died", now=NOW)
        assert (again.state, again.losses) == (RunState.PLANNED, losses)
    assert runs.lost(taken(again), "its worker died", now=NOW).state is RunState.LOST
    stopped = runs.ended(taken(again), RunState.LOST, "its worker was stopped", now=NOW)
    assert (stopped.state, stopped.losses) == (RunState.PLANNED, 2)


def test_a_run_that_is_called_off_is_not_tried_again():
    planned = runs.called_off(run(), "enough", now=NOW)
    assert (planned.state, planned.reason) == (RunState.CANCELLED, "enough")
    running = runs.called_off(taken(run(plan=RunPlan(notebook="/n", retry=Retry(times=5)))), "enough", now=NOW)
    assert running.state is RunState.RUNNING
    assert runs.ended(running, RunState.FAILED, "it broke", now=NOW).state is RunState.FAILED
    assert runs.lost(running, "its worker died", now=NOW).state is RunState.CANCELLED


@given(st.lists(st.sampled_from(["fail", "lose", "stop", "never began", "done"]), min_size=1, max_size=30), st.integers(0, 3))
def test_whatever_happens_it_ends_once_and_says_what_was(happened, times):
    one = run(plan=RunPlan(notebook="/n", retry=Retry(times=times)))
    for what in happened:
        if one.state.over:
            break
        assert one.state is RunState.PLANNED
        began = taken(one)
        assert began.epoch == one.epoch + 1
        if what == "never began":
            one = runs.lost(replace(began, started=None), "its worker died", now=NOW)
        elif what == "lose":
            one = runs.lost(began, "its worker died", now=NOW)
        else:
            state = {"fail": RunState.FAILED, "stop": RunState.LOST, "done": RunState.DONE}[what]
            one = runs.ended(began, state, "so", now=NOW)
        assert one.losses < runs.LOSSES or one.state is RunState.LOST
        assert len(one.attempts) == one.attempt - 1
    if "done" in happened and not one.state.over:
        pytest.fail("a run that was done is not over")


def test_runs_elsewhere_do_not_take_the_room_of_those_here():
    far = RunPlan(notebook="/n", executor="dask")
    known = [run(1, plan=far), run(2, plan=far), run(3), run(4), run(5, plan=far)]
    assert [one.id for one in runs.startable(known, {}, now=NOW, slots=1, far=2)] == [1, 2, 3]
    assert [one.id for one in runs.startable(known, {}, now=NOW, slots=0)] == [1, 2, 5]
    assert [one.id for one in runs.startable(known, {"s": 1}, now=NOW, slots=9)] == [1]


def test_what_died_elsewhere_is_held_against_a_run_and_what_was_stopped_is_not():
    one = taken(run())
    for losses in (1, 2):
        one = runs.ended(one, RunState.LOST, "the Dask worker that ran it died", now=NOW, died=True)
        assert (one.state, one.losses, one.attempt) == (RunState.PLANNED, losses, losses + 1)
        one = taken(one)
    assert runs.ended(one, RunState.LOST, "its worker was stopped", now=NOW).losses == 2
    over = runs.ended(one, RunState.LOST, "the Dask worker that ran it died", now=NOW, died=True)
    assert (over.state, over.reason) == (RunState.LOST, "the Dask worker that ran it died; that was the third time")
    assert runs.ended(taken(run(cancel="enough")), RunState.LOST, "it died", now=NOW, died=True).state is RunState.CANCELLED


def told(*known: Run, before: tuple[Run, ...] = ()) -> list[tuple[str, int]]:
    return [(one.tale.value, one.run.id) for one in runs.news(known, before, now=NOW)]


def over(number: int, state: str, **more: object) -> Run:
    return run(number, state=RunState(state), finished=NOW, **more)


def test_a_schedule_that_fails_is_told_once_and_once_that_it_is_well():
    assert told(over(1, "done"), over(2, "failed"), over(3, "lost"), over(4, "done"), over(5, "done")) == [("bad", 2), ("well", 2)]
    assert told(over(1, "failed"), over(2, "done"), over(3, "failed")) == [("bad", 1), ("well", 1), ("bad", 3)]
    assert told(over(1, "failed"), over(2, "cancelled"), over(3, "failed"), over(4, "failed", schedule="t")) == [("bad", 1), ("bad", 4)]


def test_what_was_told_is_not_told_again_when_it_is_long_ago():
    first = over(1, "failed")
    assert told(over(8, "failed"), over(9, "failed"), before=(first,)) == []
    assert told(over(9, "done"), before=(first,)) == [("well", 1)]
    assert told(first, over(2, "failed"), before=(first,)) == []


def test_who_asked_for_a_run_is_told_nothing():
    assert told(over(1, "failed", schedule="")) == []


def test_a_moment_that_was_missed_is_told_unless_a_later_one_caught_up():
    assert told(over(1, "done"), over(2, "missed")) == [("bad", 2)]
    assert told(over(1, "done"), over(2, "missed"), run(3)) == []


def test_a_run_that_waits_for_long_is_late():
    assert told(run(1, start=NOW - timedelta(minutes=6)), run(2, start=NOW - timedelta(minutes=4)), run(3, start=NOW + SECOND)) == [("late", 1)]
