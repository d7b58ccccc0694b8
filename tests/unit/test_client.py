"""The library face against a real store, with an engine that only answers commands."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import event

import qcity_nb
from qcity_nb.client import link as link_module
from qcity_nb.errors import BadInput, EngineError, NotFound, Refused
from qcity_nb.model.service import Phase
from qcity_nb.model.work import Outcome
from qcity_nb.store import lease, services

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
NASTY = scene.NASTY


def starts_it(store, phase=Phase.RUNNING, **state):
    def answer(command):
        scene.put_runner(store, command.subject, phase=phase, **state)
        return "done", {"name": command.subject, "phase": phase.value, "pid": 4242}

    return answer


def test_starting_a_runner_sends_all_of_its_specification_and_waits(city, engine, sqlite, tmp_path):
    engine.answers["runner.start"] = starts_it(sqlite)
    runner = city.runners.start("local", repo=tmp_path, labels=["gpu"], slots=2, silent_after=60)
    assert runner.name == "local-1"
    assert runner.phase is Phase.RUNNING
    assert engine.seen[0].args == {
        "kind": "local",
        "labels": ["gpu"],
        "options": {"repo": str(tmp_path.resolve()), "slots": 2},
        "silent_after": 60,
        "grace": 10.0,
    }


def test_starting_the_same_again_keeps_its_name(city, engine, sqlite):
    engine.answers["runner.start"] = starts_it(sqlite)
    first = city.runners.start("local", repo="/r")
    assert city.runners.start("local", repo="/r").name == first.name == "local-1"
    assert city.runners.start("local", repo="/other").name == "local-2"


def test_a_runner_that_does_not_come_up_says_why(city, engine, sqlite):
    (sqlite.home.service("web") / "log").parent.mkdir(parents=True)
    (sqlite.home.service("web") / "log").write_text("boom\n")
    engine.answers["runner.start"] = starts_it(sqlite, Phase.BACKOFF, reason="its process ended by itself with exit code 3")
    with pytest.raises(Refused, match=r'web does not come up: .*exit code 3; the last it said was "boom"'):
        city.runners.start("command", "web", command=["false"])


@pytest.mark.parametrize("kind", ["BadInput", "NotFound", "Refused"])
def test_a_refusal_arrives_as_the_error_that_the_engine_names(city, engine, kind):
    engine.answers["runner.start"] = lambda _command: ("refused", {"error": "no such thing", "todo": "do that", "kind": kind})
    with pytest.raises(getattr(qcity_nb, kind)) as caught:
        city.runners.start("local", repo="/r")
    assert (caught.value.what, caught.value.todo) == ("no such thing", "Do that.")


def test_an_engine_that_does_not_answer_is_said(city, engine, monkeypatch):
    monkeypatch.setattr(link_module, "LOOK_AFTER_ENGINE", 99)  # the deadline is what is tested
    engine.answers["job.cancel"] = lambda _command: ("new", {})
    with pytest.raises(EngineError, match=r'has not answered "job.cancel 7" for 0 s'):
        city.link.ask("job.cancel", "7", seconds=0.1)


def test_a_dead_engine_is_stale_with_its_age_and_nothing_is_hidden(city, engine, sqlite):
    scene.put_runner(sqlite, "local-1")
    engine.die()
    picture = city.status()
    assert not picture.engine.alive
    assert picture.level.value == "stale"
    assert "died: its last sign of life was" in picture.headline
    assert not picture.healthy


def test_an_engine_that_lives_and_records_nothing_is_said(city, engine, sqlite):
    scene.put_runner(sqlite, "local-1")
    before = datetime.now(timezone.utc) - timedelta(minutes=3)
    with sqlite.write() as connection:
        lease.take(connection, sqlite.place, holder="somewhere:1", host="process", now=before)
    assert city.status().headline == "it has recorded nothing for 3 min: what you see is the last that was known."


def test_unknown_names_are_answered_with_the_nearest_one(city, sqlite):
    scene.put_runner(sqlite, "local-1")
    with pytest.raises(NotFound, match='Did you mean "local-1"'):
        city.runners["locla-1"]
    with pytest.raises(NotFound, match="there is no job 99"):
        city.jobs[99]
    with pytest.raises(NotFound, match="Nothing has gone wrong"):
        city.incidents["x"]
    with pytest.raises(BadInput, match='Did you mean "kernel"'):
        qcity_nb.open(sqlite.home.root, "kernle")


def test_collections_behave_like_collections(city, sqlite):
    scene.put_runner(sqlite, "local-1")
    job = scene.put_build(sqlite)
    incident = scene.put_incident(sqlite)
    assert [runner.name for runner in city.runners] == ["local-1"]
    assert len(city.runners) == 1
    assert "local-1" in city.runners
    assert "other" not in city.runners
    assert city.runners._ipython_key_completions_() == ["local-1"]
    assert job in city.jobs
    assert city.jobs[job].outcome is Outcome.SUCCESS
    assert incident in city.incidents
    assert "killed from outside" in city.incidents[incident].sentence()
    assert "assert 3 == 4" in city.jobs[job].logs()
    assert city.builds[1].plan.name == "ci"


def test_frames_have_the_same_columns_and_types_empty_and_full(city, sqlite):
    def types():
        frames = (city.runners.frame(), city.jobs.frame(), city.builds.frame(), city.incidents.frame(), city.health(1).frame())
        return [dict(frame.dtypes.astype(str)) for frame in frames], frames

    before, empty = types()
    scene.put_runner(sqlite, "local-1", beats=10)
    scene.put_build(sqlite)
    scene.put_incident(sqlite)
    after, full = types()
    assert before == after
    assert all(frame.empty for frame in empty)
    assert not any(frame.empty for frame in full)
    assert isinstance(full[1]["started"].dtype, pd.DatetimeTZDtype)
    assert str(full[1]["started"].dt.tz) == "UTC"
    assert full[1]["duration_s"][0] == pytest.approx(3.0)


def test_nothing_that_is_shown_holds_a_secret_or_markup_from_outside(city, sqlite):
    scene.put_runner(sqlite, "local-1", beats=5, reason=NASTY)
    job = scene.put_build(sqlite, name=NASTY, outcome=Outcome.FAILURE)
    incident = scene.put_incident(sqlite)
    things = (city, city.runners, city.runners["local-1"], city.jobs, city.jobs[job], city.builds, city.incidents, city.incidents[incident])
    for thing in (*things, city.status(), city.health(1)):
        bundle = thing._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html"}
        assert "<script" not in bundle["text/html"]
        assert "<style" not in bundle["text/html"]
        for text in bundle.values():
            assert "hush" not in text
            assert "\x1b" not in text
            assert "\u202e" not in text


def test_uptime_is_counted_from_beats(city, sqlite):
    scene.put_runner(sqlite, "local-1", beats=100)
    assert city.status().runners["local-1"].uptime == pytest.approx(0.9)
    assert city.health(1).share() == pytest.approx(0.9)
    assert city.runners["local-1"].health(1).share() == pytest.approx(0.9)


def test_figures_have_a_static_twin(city, sqlite):
    with pytest.raises(NotFound, match="no beats yet"):
        city.health(1).figure()
    with pytest.raises(NotFound, match="no job has begun"):
        city.jobs.gantt()
    scene.put_runner(sqlite, "local-1", beats=30)
    scene.put_build(sqlite, name="<b>")
    assert len(city.health(1).figure().data) == 1
    assert city.jobs.gantt().data[0].name == "success"
    for static in (city.health(1).static(), city.jobs.gantt_static()):
        assert "<script" not in static
        assert "<b>" not in static
        assert "style=" in static


def test_events_are_the_flips(city, sqlite):
    with sqlite.write() as connection:
        at = datetime.now(timezone.utc)
        services.flip(connection, sqlite.place, "runner", "local-1", "starting", "running", reason="", at=at, generation=1)
    assert [(event.subject, event.new) for event in city.events()] == [("local-1", "running")]
    assert city.events(after=1) == []


def test_it_works_while_an_event_loop_runs(city, engine, sqlite):
    engine.answers["runner.start"] = starts_it(sqlite)

    async def cell():
        return city.runners.start("local", repo="/r").name

    assert asyncio.run(cell()) == "local-1"


def test_waiting_for_jobs_names_what_is_not_over(city, sqlite):
    scene.put_build(sqlite)
    city.jobs.wait(1)
    with sqlite.write() as connection:
        connection.exec_driver_sql("update builds set outcome = null")
        connection.exec_driver_sql("update jobs set status = 'running', outcome = null")
    with pytest.raises(EngineError, match=r"not over after 0.1 s: 1 unit tests \(running\)"):
        city.jobs.wait(0.1)


def test_waiting_for_a_first_job_is_not_over_when_it_comes_between_two_looks(city, sqlite):
    """A build that is found right after any one of the questions to the store is still waited for."""
    left = [0]

    def comes(*_):
        if threading.current_thread() is not threading.main_thread():  # the engine asks, too
            return
        left[0] -= 1
        if left[0] == 0:
            scene.put_build(sqlite)
            with sqlite.write() as connection:
                connection.exec_driver_sql("update builds set outcome = null")
                connection.exec_driver_sql("update jobs set status = 'assigned', outcome = null")

    event.listen(sqlite._engine, "after_cursor_execute", comes)  # once: the engine's thread goes through the listeners meanwhile
    for question in range(1, 5):
        left[0] = question
        with pytest.raises(EngineError, match="not over"):
            city.jobs.wait(0.3, at_least=1)
        left[0] = 0
        with sqlite.write() as connection:
            connection.exec_driver_sql("delete from jobs")
            connection.exec_driver_sql("delete from builds")


def test_opening_by_name_uses_the_environment_and_closing_twice_is_harmless(tmp_path, monkeypatch):
    monkeypatch.setenv("QCITY_HOME", str(tmp_path / "ünter wegs"))
    with qcity_nb.open(say=pytest.fail) as city:
        assert city.home == (tmp_path / "ünter wegs").resolve()
        assert "No runner yet" in city.status().headline
    city.close()


def test_a_home_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(qcity_nb.HomeError, match="is a file, not a folder"):
        qcity_nb.open(tmp_path / "file")
