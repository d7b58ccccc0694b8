"""Rows of runs and schedules, on both databases: planned once, changed only by who has them, seen by whom they concern."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from qcity_nb.decide import runs as decide
from qcity_nb.model.schedule import Run, RunPlan, RunState, Schedule
from qcity_nb.store import runs

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
PLAN = RunPlan(notebook="/n.ipynb", parameters={"n": 1}, timeout=timedelta(minutes=3))


def planned(key: str = "k") -> Run:
    return Run(id=0, schedule="s", key=key, plan=PLAN, at=NOW, start=NOW, state=RunState.PLANNED, planned=NOW)


def put(store, run: Run, place: str) -> runs.RunRow:
    with store.write() as connection:
        number = runs.add_run(connection, place, run)
        found = runs.get_run(connection, store.place, number)
    assert found is not None
    return found


def test_a_run_comes_back_as_it_was_put(store):
    row = put(store, planned(), store.place)
    assert replace(planned(), id=row.id) == Run(**{name: getattr(row, name) for name in Run.__dataclass_fields__})


def test_the_same_key_is_the_same_run_and_of_each_place_another(store):
    assert put(store, planned(), store.place).id == put(store, planned(), store.place).id
    assert put(store, planned(), "").id != put(store, planned(), store.place).id
    with store.read() as connection:
        assert [row.place for row in runs.open_runs(connection, "another")] == [""]


def test_two_who_begin_the_same_run_are_told_apart(store):
    row = put(store, planned(), "")
    one, two = (decide.begun(row, owner=owner, token=owner, incarnation=1, now=NOW) for owner in ("one", "two"))
    with store.write() as connection:
        assert runs.save(connection, one, epoch=row.epoch)
        assert not runs.save(connection, two, epoch=row.epoch)
        assert runs.by_token(connection, "two") is None


def test_who_has_lost_a_run_finishes_nothing(store):
    row = put(store, planned(), "")
    with store.write() as connection:
        first = decide.begun(row, owner="one", token="first", incarnation=1, now=NOW)
        runs.save(connection, first, epoch=row.epoch)
        lost = decide.lost(replace(first, started=NOW), "its place was not heard of any more", now=NOW)
        runs.save(connection, lost, epoch=first.epoch)
        second = decide.begun(lost, owner="two", token="second", incarnation=1, now=NOW)
        runs.save(connection, second, epoch=lost.epoch)
        assert not runs.save(connection, decide.ended(first, RunState.DONE, "", now=NOW), epoch=first.epoch)
        found = runs.get_run(connection, store.place, row.id)
    assert found is not None
    assert (found.state, found.owner, found.epoch, found.losses) == (RunState.RUNNING, "two", 2, 1)


def test_many_who_plan_the_same_moment_plan_it_once(store):
    failed: list[BaseException] = []

    def plan() -> None:
        try:
            for number in range(10):
                put(store, planned(f"m{number}"), "")
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with store.read() as connection:
        assert sorted(row.key for row in runs.open_runs(connection, store.place)) == sorted(f"m{number}" for number in range(10))


def test_a_schedule_is_due_when_its_moment_has_come_and_not_while_it_is_paused(store):
    hour = timedelta(hours=1)
    with store.write() as connection:
        for name, upcoming in (("late", NOW - hour), ("soon", NOW + hour), ("paused", None)):
            asked = Schedule(name=name, plan=PLAN, cron="0 * * * *", paused=upcoming is None)
            runs.put_schedule(connection, store.place, asked, dealt=NOW - 2 * hour, upcoming=upcoming, at=NOW)
        [due] = runs.due(connection, store.place, now=NOW)
        assert (due.schedule.name, due.schedule.plan) == ("late", PLAN)
        assert runs.next_moment(connection, store.place) == NOW - hour
        runs.dealt_with(connection, due, dealt=NOW, upcoming=NOW + 2 * hour)
        runs.dealt_with(connection, due, dealt=NOW - hour, upcoming=NOW)  # an older one comes late
        assert runs.due(connection, store.place, now=NOW) == []
        assert runs.next_moment(connection, store.place) == NOW + hour


def test_a_schedule_of_every_place_is_one_whoever_changes_it(store):
    asked = Schedule(name="s", plan=PLAN, cron="0 * * * *", shared=True, max_parallel=3)
    with store.write() as connection:
        runs.put_schedule(connection, "one", asked, dealt=NOW, upcoming=NOW, at=NOW)
        runs.put_schedule(connection, "two", replace(asked, max_parallel=5), dealt=NOW, upcoming=NOW, at=NOW)
        assert [row.schedule.max_parallel for row in runs.schedules_of(connection, "one")] == [5]
        assert runs.limits(connection, "one", {"s", "none"}) == {"s": 5}


def test_the_schedules_that_fail_are_those_whose_last_run_did(store):
    def over(schedule: str, number: int, state: RunState) -> None:
        row = put(store, replace(planned(f"{schedule}{number}"), schedule=schedule), store.place)
        with store.write() as connection:
            assert runs.save(connection, replace(row, state=state, finished=NOW), epoch=row.epoch)

    with store.write() as connection:
        for name in ("a", "b", "c"):
            asked = Schedule(name=name, plan=PLAN, cron="0 * * * *")
            runs.put_schedule(connection, store.place, asked, dealt=NOW, upcoming=None if name == "b" else NOW, at=NOW)
    for schedule, states in {"a": "failed done", "b": "done failed cancelled", "c": "failed lost planned", "gone": "failed"}.items():
        for number, state in enumerate(states.split()):
            over(schedule, number, RunState(state))
    with store.read() as connection:
        assert [(row.schedule, row.state) for row in runs.failing(connection, store.place)] == [("b", RunState.FAILED), ("c", RunState.LOST)]
        assert runs.agenda(connection, store.place) == (3, "a", NOW)


def test_old_runs_are_forgotten_schedule_by_schedule_and_open_ones_never(store):
    rows = [put(store, replace(planned(f"k{number}"), schedule="ab"[number % 2]), store.place) for number in range(8)]
    with store.write() as connection:
        for row in rows[1:]:
            runs.save(connection, replace(row, state=RunState.DONE, finished=NOW), epoch=row.epoch)
        found = runs.old(connection, store.place, keep=2)
        assert found == [rows[number].id for number in (1, 2, 3)]
        runs.forget(connection, [*found, rows[0].id])
        assert [row.id for row in runs.latest_runs(connection, store.place)] == [row.id for row in (rows[0], *rows[4:])]
