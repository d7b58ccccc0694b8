"""Every oracle is shown a bug that it must find: an oracle that is never red proves nothing."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa

from qcity_nb.engine.runs import Runs
from qcity_nb.engine.tunnels import Tunnels
from qcity_nb.model.schedule import RunPlan, Schedule
from qcity_nb.model.service import RestartPolicy
from qcity_nb.store import tunnels as store
from qcity_nb.store.schema import commands, incidents, issued, jobs, runs
from qcity_nb.testing import oracles, pilots
from qcity_nb.testing.machine import Program
from qcity_nb.testing.oracles import Broken, hold, settle
from qcity_nb.testing.processes import FakeProcesses

HOUR = timedelta(hours=1)
PLAN = RunPlan(notebook="/n.ipynb")


def pass_time(world, span=HOUR):
    world.live_until(world.clock.now() + span)


def red(world, oracle):
    with pytest.raises(Broken, match=oracle.__name__):
        hold(world, (oracle,))


@pytest.fixture
def world(make, begin):
    with make(1) as one:
        begin(one)
        for oracle in (*oracles.SAFETY, *oracles.LIVENESS):
            hold(one, (oracle,))  # all green before the bug
        yield one


def test_an_engine_that_finds_nothing_where_locks_do_nothing_doubles(world):
    world.bury()
    world.machine.locks_work = world.watching = False
    world.boot()
    pass_time(world)
    red(world, oracles.no_service_twice)


def test_a_number_used_twice_is_seen(world):
    world.machine.kill("agent")
    pass_time(world)
    world.machine.trees[-1].incarnation = 1
    red(world, oracles.no_service_twice)


def test_an_engine_that_hears_of_no_end_loses_services(world, monkeypatch):
    monkeypatch.setattr(FakeProcesses, "ended", lambda _self: [])  # patched: this is the bug
    world.machine.kill("alpha")
    pass_time(world)
    red(world, oracles.no_service_lost)


def test_an_engine_that_forgets_to_stop_is_seen(world, monkeypatch):
    monkeypatch.setattr(FakeProcesses, "end", lambda _self, _name, **_: None)  # patched: this is the bug
    world.ask("runner.stop", "agent")
    pass_time(world)
    red(world, oracles.no_service_lost)


def test_a_policy_without_a_budget_exceeds_it(make, begin):
    with make(1, policy=RestartPolicy(base=timedelta(0), cap=timedelta(0), burst=1000)) as world:
        begin(world)
        world.machine.programs["agent"] = Program(lives=timedelta(seconds=2), code=1)
        world.machine.kill("agent")
        pass_time(world, timedelta(minutes=5))
        red(world, oracles.budget_kept)


def test_the_usual_policy_keeps_to_it(world):
    world.machine.programs["agent"] = Program(lives=timedelta(seconds=2), code=1)
    world.machine.kill("agent")
    pass_time(world)
    hold(world, (oracles.budget_kept,))
    assert len([tree for tree in world.machine.trees if tree.service == "agent"]) == 1 + RestartPolicy().burst


def test_workers_that_forget_their_tokens_run_a_job_twice(world):
    world.wire.remembers = False
    world.wire.repositories["alpha"].seconds["build"] = 500
    world.commit("alpha")
    pass_time(world, timedelta(seconds=30))
    (run,) = world.wire.running()
    key = (run.service, run.incarnation)
    world.wire.send(*key, world.wire.orders[key][-1])
    red(world, oracles.one_run_at_a_time)


def test_a_job_run_again_after_its_end_is_seen(world):
    world.wire.remembers = False
    world.commit("alpha")
    pass_time(world)
    key = ("alpha", 1)
    world.wire.send(*key, world.wire.orders[key][-1])
    red(world, oracles.one_run_at_a_time)


def test_an_outcome_that_changes_is_seen(world):
    world.commit("alpha")
    pass_time(world)
    hold(world, (oracles.one_outcome,))
    change(world, jobs.update().values(outcome="failure"))
    red(world, oracles.one_outcome)


def test_an_outcome_that_no_worker_reported_is_seen(world):
    world.commit("alpha")
    pass_time(world)
    world.outcomes.clear()
    change(world, jobs.update().values(outcome="lost"))
    red(world, oracles.one_outcome)


@pytest.fixture
def scheduled(world):
    """Three hours of a schedule of every hour, and a run that is under way."""
    hourly = Schedule(name="hourly", plan=PLAN, cron="0 * * * *")
    world.ask("schedule.put", "hourly", msgspec.to_builtins(hourly))
    pass_time(world, 3.5 * HOUR)
    world.wire.desk.seconds = 500
    world.ask("notebook.run", "", {"plan": msgspec.to_builtins(PLAN)})
    pass_time(world, timedelta(seconds=20))
    for oracle in oracles.SAFETY:
        hold(world, (oracle,))
    return world


def test_a_worker_that_forgets_its_token_executes_a_run_twice(scheduled):
    desk = scheduled.wire.desk
    (one,) = desk.running()
    desk._known.clear()
    key = ("notebooks", scheduled.machine.last("notebooks").incarnation)
    scheduled.wire.send(*key, next(order for order in scheduled.wire.orders[key] if order.token == one.token))
    red(scheduled, oracles.one_execution_at_a_time)


def test_an_engine_that_gives_a_living_run_away_is_seen(scheduled, monkeypatch):
    monkeypatch.setattr(Runs, "_is_lost", lambda *_args, **_more: True)  # patched: this is the bug
    pass_time(scheduled, timedelta(minutes=2))
    red(scheduled, oracles.one_execution_at_a_time)


def test_a_run_that_ends_twice_or_changes_is_seen(scheduled):
    change(scheduled, runs.update().where(runs.c.id == 1).values(state="failed"))
    red(scheduled, oracles.runs_end_once)


def test_a_run_that_is_said_to_be_done_and_never_was_is_seen(scheduled):
    change(scheduled, runs.update().where(runs.c.id == 4).values(state="done"))
    red(scheduled, oracles.runs_end_once)


def test_a_moment_that_vanished_and_a_run_that_is_stuck_are_seen(scheduled):
    red(scheduled, oracles.every_moment_is_accounted_for)  # one is under way
    pass_time(scheduled)
    scheduled.ask("schedule.pause", "hourly")
    pass_time(scheduled)
    hold(scheduled, (oracles.every_moment_is_accounted_for,))
    change(scheduled, runs.delete().where(runs.c.id == 2))
    red(scheduled, oracles.every_moment_is_accounted_for)


def test_a_command_that_is_gone_is_missed(world):
    change(world, commands.delete().where(commands.c.id == world.acknowledged[-1]))
    red(world, oracles.every_command_is_there)


def test_a_command_that_nobody_answers_is_seen(world):
    world.bury()
    world.ask("runner.stop", "agent")
    red(world, oracles.every_command_is_answered)


def test_an_incident_that_stays_open_is_seen(world):
    world.machine.kill("agent")
    pass_time(world)
    hold(world, (oracles.incidents_are_over,))
    change(world, incidents.update().values(closed=None))
    red(world, oracles.incidents_are_over)


def test_a_healthy_incident_without_proof_is_seen(world):
    world.machine.kill("agent")
    pass_time(world)
    change(world, incidents.update().values(proof=()))
    red(world, oracles.incidents_are_over)


def test_work_that_is_left_lying_is_seen(world):
    world.wire.lose_orders = True
    world.commit("alpha")
    settle(world, hours=1)
    red(world, oracles.all_work_is_done)


def test_a_commit_that_nobody_found_is_seen(world):
    world.bury()
    world.commit("beta")
    red(world, oracles.all_work_is_done)


def change(world, statement: sa.sql.Executable) -> None:
    with world.client.write() as connection:
        connection.execute(statement)


@pytest.fixture
def tunnelled(world):
    """A world with a tunnel that files follow, all green."""
    world.ask("follow.put", pilots.NAME, {"follower": msgspec.to_builtins(pilots.FILES)})
    world.ask("tunnel.open", pilots.NAME, pilots.PLAN)
    pass_time(world, timedelta(minutes=1))
    for oracle in (*oracles.SAFETY, *oracles.LIVENESS):
        hold(world, (oracle,))
    assert world.wire.pilots.addresses
    return world


def test_a_pilot_that_counts_anew_is_seen(tunnelled):
    tunnelled.wire.pilots.counts = False
    tunnelled.machine.kill(pilots.NAME)
    pass_time(tunnelled, timedelta(minutes=1))
    red(tunnelled, oracles.addresses_are_counted)


def test_an_address_that_nobody_announced_is_seen(tunnelled):
    with tunnelled.client.write() as connection:
        connection.execute(sa.update(issued).values(origin="https://elsewhere.example"))
    red(tunnelled, oracles.addresses_are_counted)


def test_an_engine_that_does_not_tell_a_new_pilot_is_seen(tunnelled, monkeypatch):
    monkeypatch.setattr(Tunnels, "_tell", lambda *_: None)  # patched: this is the bug
    tunnelled.ask("follow.drop", pilots.NAME, {"key": "links /docs"})
    tunnelled.ask("follow.put", pilots.NAME, {"follower": msgspec.to_builtins(pilots.FILES)})
    pass_time(tunnelled, timedelta(minutes=1))
    red(tunnelled, oracles.an_address_is_the_last_one)


def test_a_closed_tunnel_that_still_shows_an_address_is_seen(tunnelled, monkeypatch):
    monkeypatch.setattr(store, "end", lambda *_, **__: None)  # patched: this is the bug
    tunnelled.ask("tunnel.close", pilots.NAME)
    pass_time(tunnelled, timedelta(minutes=1))
    red(tunnelled, oracles.an_address_is_the_last_one)
