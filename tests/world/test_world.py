"""Months of simulated life: the real engine on a real store, under every fault at every point. What must hold is in `qcity_nb.testing.oracles`.

A failure prints its seed; `pytest tests/world --world-seeds N` lives longer.
"""

from __future__ import annotations

import time
from datetime import timedelta

import msgspec
import pytest

from qcity_nb.engine import loop
from qcity_nb.model.schedule import CatchUp, Retry, RunPlan, RunState, Schedule
from qcity_nb.store import runs
from qcity_nb.testing import pilots
from qcity_nb.testing.machine import Program
from qcity_nb.testing.oracles import LIVENESS, SAFETY, hold

BUDGET_SECONDS = 12.0
LEAST_LIVES = 2  # a crowded one and a long one, however slow the machine is
POINTS_CAP = 200


@pytest.mark.slow
def test_months_of_life(request, make, live):
    seeds = request.config.getoption("--world-seeds")
    begun, lived, killed, seed = time.monotonic(), timedelta(0), 0, 0
    while seed < (seeds or LEAST_LIVES) or (not seeds and time.monotonic() - begun < BUDGET_SECONDS):
        with make(seed) as world:
            started = world.clock.now()
            live(world, over=lambda seed=seed: seed >= LEAST_LIVES and not seeds and time.monotonic() - begun > BUDGET_SECONDS)
            lived += world.clock.now() - started
            killed += len(world.machine.fuse.struck)
        seed += 1
    print(f"{seed} lives, {lived.days} days, {killed} engines killed between two acts, {time.monotonic() - begun:.1f} s")
    assert lived > timedelta(days=10)
    assert killed


def a_busy_minute(world) -> None:
    """Everything that makes an engine act: a commit, a death, a stop, a start."""
    world.commit("alpha")
    world.live_until(world.clock.now() + timedelta(seconds=1))
    world.machine.kill("alpha")
    world.ask("runner.stop", "agent")
    world.live_until(world.clock.now() + timedelta(seconds=8))
    world.start_runner("agent")
    world.machine.kill("beta")
    world.live_until(world.clock.now() + timedelta(seconds=50))


@pytest.mark.slow
def test_the_engine_is_killed_at_every_point_of_a_busy_minute(make, begin, finish):
    """Killed at the first, the second, … point between two acts or writes, and a new one started a little later."""
    struck = []
    for point in range(1, POINTS_CAP):
        with make(7, runners={"alpha": "local", "beta": "local", "agent": "command"}) as world:
            begin(world)
            world.machine.fuse.arm(point)
            a_busy_minute(world)
            hold(world, SAFETY)
            if not world.machine.fuse.struck:
                break
            struck += world.machine.fuse.struck
            finish(world)
    else:
        pytest.fail("the fuse struck for ever")
    kinds = {" ".join(point.split()[:3]).rpartition(" of")[0] or point for point in struck}
    assert {"before a write", "before a commit", "after a commit", "before start", "after start"} <= kinds


def a_minute_of_notebooks(world) -> None:
    """A schedule, a run by hand, both under way when the worker dies; then one is cancelled."""
    world.wire.desk.seconds = 12.0
    plan = RunPlan(notebook="/n.ipynb", retry=Retry(times=1))
    often = Schedule(name="often", plan=plan, cron="*/15 * * * * *", catch_up=CatchUp.ALL, max_parallel=2)
    world.ask("schedule.put", "often", {**msgspec.to_builtins(often), "fresh": False})
    world.ask("notebook.run", "", {"plan": msgspec.to_builtins(RunPlan(notebook="/by-hand.ipynb")), "key": "k"})
    world.live_until(world.clock.now() + timedelta(seconds=20))
    world.machine.kill("notebooks")
    world.live_until(world.clock.now() + timedelta(seconds=15))
    world.ask("notebook.cancel", "2")
    world.live_until(world.clock.now() + timedelta(seconds=25))


@pytest.mark.slow
def test_the_engine_is_killed_at_every_point_of_a_minute_of_notebooks(make, begin, finish):
    points, states = [], set()
    for point in range(1, POINTS_CAP, 2):
        with make(11, runners={"agent": "command"}) as world:
            begin(world)
            world.machine.fuse.arm(point)
            a_minute_of_notebooks(world)
            hold(world, SAFETY)
            if not world.machine.fuse.struck:
                break
            points += world.machine.fuse.struck
            finish(world)
            assert world.ended
            states |= set(world.ended.values())
    else:
        pytest.fail("the fuse struck for ever")
    assert {"before order to notebooks", "after order to notebooks", "before a commit", "after a commit"} <= set(points)
    assert {"done", "cancelled"} <= states


def a_minute_of_a_tunnel(world) -> None:
    """It is opened, files follow it, its provider dies, its pilot dies, it is closed and opened again."""
    world.ask("follow.put", pilots.NAME, {"follower": msgspec.to_builtins(pilots.FILES)})
    for what in ("open", "move", "kill", "move", "close", "open"):
        if what in ("open", "close"):
            world.ask(f"tunnel.{what}", pilots.NAME, pilots.PLAN)
        elif what == "kill":
            world.machine.kill(pilots.NAME)
        else:
            for key in world.wire.pilots.living():
                world.wire.pilots.move(key)
        world.live_until(world.clock.now() + timedelta(seconds=10))


def test_a_pilot_goes_on_counting_from_what_the_one_before_it_said_while_the_disk_was_full(make, begin, finish):
    with make(13, runners={"agent": "command"}) as world:
        begin(world)
        world.ask("tunnel.open", pilots.NAME, pilots.PLAN)
        world.live_until(world.clock.now() + timedelta(seconds=10))
        world.set_full(full=True)
        for key in world.wire.pilots.living():
            world.wire.pilots.move(key)
        world.machine.kill(pilots.NAME)
        world.live_until(world.clock.now() + timedelta(seconds=30))
        world.set_full(full=False)
        world.live_until(world.clock.now() + timedelta(seconds=30))
        hold(world, SAFETY)
        finish(world)
        assert [one.generation for one in world.wire.pilots.addresses] == [1, 2, 3]


@pytest.mark.slow
def test_the_engine_is_killed_at_every_point_of_a_minute_of_a_tunnel(make, begin, finish):
    points, generations = [], 0
    for point in range(1, POINTS_CAP):
        with make(12, runners={"agent": "command"}) as world:
            begin(world)
            world.machine.fuse.arm(point)
            a_minute_of_a_tunnel(world)
            hold(world, SAFETY)
            if not world.machine.fuse.struck:
                break
            points += world.machine.fuse.struck
            finish(world)
            generations = max(generations, len(world.wire.pilots.addresses))
    else:
        pytest.fail("the fuse struck for ever")
    assert {f"before order to {pilots.NAME}", f"after order to {pilots.NAME}", "before a commit", "after a commit"} <= set(points)
    assert generations >= 4


@pytest.mark.slow
def test_the_disk_is_full_at_every_write_of_a_busy_minute(make, begin, finish):
    """One write fails, or ten in a row; what was decided meanwhile is done, and recorded when there is room."""
    for length in (1, 10):
        for number in range(1, POINTS_CAP, 3 if length > 1 else 1):
            with make(8) as world:
                begin(world)
                first = world.store.writes + number
                world.store.full_at = range(first, first + length)
                a_busy_minute(world)
                hold(world, SAFETY)
                over = world.store.writes < first
                finish(world)
                if over:
                    break
        else:
            pytest.fail("the writes never ended")


def test_an_engine_that_starts_on_a_full_disk_or_without_its_store_does_not_stay_away(make, begin, finish):
    """It may refuse to start; it may not leave anything doubled or forgotten."""
    for make_trouble in ("set_full", "set_away"):
        with make(9) as world:
            begin(world)
            world.bury()
            getattr(world, make_trouble)(**{make_trouble.removeprefix("set_"): True})
            world.machine.kill("alpha")
            for _ in range(5):
                world.boot()
                world.live_until(world.clock.now() + timedelta(seconds=20))
            hold(world, SAFETY)
            finish(world)


@pytest.mark.real
def test_a_life_on_postgresql(make, live, postgres_database):
    with make(3, url=postgres_database, template=None) as world:
        live(world, events=25)


def test_the_worker_of_notebooks_leaves_when_there_is_nothing_to_run_and_comes_back(make, begin):
    with make(5, runners={"agent": "command"}) as world:
        begin(world)

        def run() -> None:
            world.ask("notebook.run", "", {"plan": msgspec.to_builtins(RunPlan(notebook="/n.ipynb"))})
            world.live_until(world.clock.now() + timedelta(minutes=1))

        run()
        assert world.machine.last("notebooks").alive
        world.live_until(world.clock.now() + timedelta(minutes=5))
        assert world.machine.last("notebooks").alive
        world.live_until(world.clock.now() + timedelta(minutes=10))
        assert not world.machine.last("notebooks").alive
        run()
        assert [one.state for one in world.wire.desk.executions] == [RunState.DONE] * 2
        hold(world, SAFETY)


def test_a_worker_that_dies_at_once_spends_its_budget_rests_and_is_tried_again(make, begin):
    """The run that was under way three times is lost and says so; nobody has to come for the next one to be had; the restart budget holds."""
    with make(5, runners={"agent": "command"}) as world:
        begin(world)
        world.machine.programs["notebooks"] = Program(lives=timedelta(seconds=0.2), code=1, says="Error: it crashed")
        world.ask("notebook.run", "", {"plan": msgspec.to_builtins(RunPlan(notebook="/n.ipynb"))})
        world.live_until(world.clock.now() + timedelta(minutes=45))
        hold(world, SAFETY)
        births = sum(line.what == "born" and line.subject.startswith("notebooks/") for line in world.history)
        assert 6 <= births <= 40
        assert world.ended == {1: "lost"}
        world.machine.programs["notebooks"] = Program()
        world.ask("notebook.run", "", {"plan": msgspec.to_builtins(RunPlan(notebook="/n.ipynb"))})
        world.live_until(world.clock.now() + timedelta(minutes=5))
        hold(world, (*SAFETY, *LIVENESS))
        assert world.ended == {1: "lost", 2: "done"}


def test_old_runs_go_however_many_there_are_and_their_notebooks_with_them(make, begin, monkeypatch):
    monkeypatch.setattr(loop, "KEPT_RUNS", 3)  # two hundred real folders would be felt
    with make(5, runners={"agent": "command"}) as world:
        begin(world)
        for number in range(120):
            world.ask("notebook.run", "", {"plan": msgspec.to_builtins(RunPlan(notebook="/n.ipynb")), "key": str(number)})
        world.live_until(world.clock.now() + timedelta(minutes=30))
        assert len(world.wire.desk.executions) == 120
        for number in range(1, 121):
            world.home.run(number, 1).mkdir(parents=True)
        world.live_until(world.clock.now() + timedelta(minutes=40))
        for _ in range(3):
            world.tick()  # an engine does not wait an hour for the rest
        with world.client.read() as connection:
            left = [row.id for row in runs.latest_runs(connection, world.client.place, limit=500)]
        assert left == [118, 119, 120]
        assert sorted(int(path.name) for path in (world.home.root / "runs").iterdir()) == left
