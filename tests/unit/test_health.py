from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import health
from qcity_nb.decide.health import Condition, EngineFacts, EngineState, Level, RunnerFacts, Work
from qcity_nb.model.schedule import Run, RunPlan, RunState
from qcity_nb.model.service import Desired, Phase, ServiceState

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
UP = EngineFacts(state=EngineState.RUNNING, last=NOW)


def state(name="local-1", phase=Phase.RUNNING, **values):
    return ServiceState(**{"name": name, "phase": phase, "desired": Desired.UP, "since": NOW, **values})


def judge(**values):
    return health.runner(RunnerFacts(state=state(**values)), UP, NOW)


def said(runners, work=Work(), of=UP):  # noqa: B008
    conditions = {one.name: health.runner(RunnerFacts(state=one), of, NOW) for one in runners}
    return health.headline(of, conditions, work, NOW)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("engine", list(EngineState))
def test_every_phase_has_a_sentence_and_only_a_living_engine_is_believed(phase, engine):
    of = EngineFacts(state=engine, last=NOW - timedelta(minutes=4))
    found = health.runner(RunnerFacts(state=state(phase=phase, reason="because")), of, NOW)
    assert found.text
    if engine is not EngineState.RUNNING:
        assert found.level in (Level.STALE, Level.OFF)


def test_all_well_says_so_with_load_and_wait():
    runners = [state(f"r{number}", busy=number == 0) for number in range(3)]
    assert said(runners, Work(running=1, wait=timedelta(seconds=0.4))).text == "All 3 runners are well. 1 busy, jobs wait 0.4 s (p95)."


def test_the_worst_comes_first_and_says_what_to_do():
    again = state("b", phase=Phase.BACKOFF, reason="exit code 1", failures=2)
    head = said([state("a"), again, state("c", phase=Phase.QUARANTINED, reason="5 restarts did not help")])
    assert head.text == "1 of 3 needs you: c is quarantined: 5 restarts did not help."
    assert head.level is Level.BAD
    assert "qcity runner logs c" in head.todo


def test_a_repair_is_told_while_nobody_is_needed():
    head = said([state("a"), state("b", phase=Phase.BACKOFF, reason="exit code 1", failures=2, next_at=NOW + timedelta(seconds=10))])
    assert head.text.startswith("1 of 2 is being repaired: b ended 2 times in a row and starts again in 10 s")
    assert head.level is Level.REPAIRING


def test_a_dead_engine_makes_everything_stale_and_says_how_old_it_is():
    of = EngineFacts(state=EngineState.DEAD, last=NOW - timedelta(minutes=4))
    head = said([state("a")], of=of)
    assert head.level is Level.STALE
    assert "4 min ago" in head.text
    assert "qcity up" in head.todo


def test_an_engine_stopped_on_purpose_is_not_a_death():
    head = said([state("a", phase=Phase.STOPPED, desired=Desired.DOWN)], of=EngineFacts(state=EngineState.STOPPED, last=NOW))
    assert head.level is Level.OFF


def test_no_runner_yet_says_how_to_get_one():
    head = said([])
    assert "No runner yet" in head.text
    assert "runner start" in head.todo


def test_trouble_needs_a_person():
    found = health.runner(RunnerFacts(state=state(), trouble={"repository": "it cannot be reached", "disk": ""}), UP, NOW)
    assert found == Condition(level=Level.BAD, text="has a problem: it cannot be reached", todo="qcity runner show local-1 says more.")


def test_a_weaker_sandbox_is_said_and_is_no_failure():
    found = health.runner(RunnerFacts(state=state(), trouble={"sandbox": "bubblewrap is not installed"}), UP, NOW)
    text = "is up, and its jobs are not fully shut in: bubblewrap is not installed"
    assert found == Condition(level=Level.WARN, text=text, todo="qcity doctor says more.")
    both = health.runner(RunnerFacts(state=state(), trouble={"sandbox": "it is weak", "disk": "it is full"}), UP, NOW)
    assert both.text == "has a problem: it is full"


def test_jobs_that_wait_for_a_stopped_runner_are_said():
    head = said([state(phase=Phase.STOPPED, desired=Desired.DOWN)], Work(queued=2))
    assert "2 jobs wait for one" in head.text
    assert head.level is Level.WARN


def test_levels_have_glyph_word_and_order():
    assert len({level.glyph for level in Level}) == len(Level)
    assert Level.BAD.rank < Level.WELL.rank


def test_percentile_is_the_nearest_rank():
    assert health.percentile([]) is None
    assert health.percentile(timedelta(seconds=number) for number in range(1, 101)) == timedelta(seconds=95)
    assert judge(busy=2).text == "is running 2 jobs"


def test_a_runner_that_stands_by_is_said_to_and_is_no_failure():
    waits = state("web", phase=Phase.STOPPED, standby=True, reason="web is held by lab (epoch 2)")
    assert judge(name="web", phase=Phase.STOPPED, standby=True, reason="x").level is Level.OFF
    assert said([waits]).text == "web stands by: web is held by lab (epoch 2)."
    assert said([waits]).todo == "qcity fleet status says more."
    assert said([waits, state("a")]).level is Level.WELL


def of_schedule(state: str, reason: str = "") -> Run:
    plan, at = RunPlan(notebook="/n.ipynb"), NOW - timedelta(hours=1)
    return Run(id=12, schedule="nightly", key="k", plan=plan, at=at, start=at, planned=at, state=RunState(state), reason=reason)


def test_notebooks_are_heard_of_when_nothing_is_worse():
    failing = health.Notebooks(schedules=3, failing=(of_schedule("failed", "cell 3: KeyError: 'a'"),))
    about = health.notebooks(failing, NOW)
    assert about.text == "1 of 3 schedules failed at the last run: nightly, cell 3: KeyError: 'a'."
    assert about.todo == "qcity notebook show 12 says more."
    well = health.headline(UP, {"a": health.Condition(level=Level.WELL, text="is up")}, Work(), NOW, about=[about])
    assert well == about
    bad = health.headline(UP, {"a": health.Condition(level=Level.BAD, text="is offline")}, Work(), NOW, about=[about])
    assert bad.text == "1 of 1 needs you: a is offline."
    assert health.headline(UP, {}, Work(), NOW, about=[about]) == about


def test_notebooks_that_are_well_say_what_is_next():
    soon = health.notebooks(health.Notebooks(schedules=1, upcoming="nightly", at=NOW + timedelta(hours=4)), NOW)
    assert soon.text == "No notebook is running. Next: nightly in 4 h."
    busy = health.notebooks(health.Notebooks(running=2, waiting=1), NOW)
    assert busy.text == "2 notebooks running, 1 waits."
    assert health.notebooks(health.Notebooks(), NOW) is None
    missed = health.notebooks(health.Notebooks(schedules=1, failing=(of_schedule("missed", "no engine was there"),)), NOW)
    assert missed.text == "The schedule was missed at the last run: nightly, no engine was there."
