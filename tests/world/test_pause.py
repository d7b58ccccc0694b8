"""What a person asks of a runner besides up and down.

Paused: it finishes its job, is down for as long as was said, and starts again by itself, whoever is the engine by then. Repaired: it begins again
as after a fault, and that is proved.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from qcity_nb.client.view import look
from qcity_nb.model.service import Desired, Phase
from qcity_nb.store import commands, history, services
from qcity_nb.testing.machine import Program


@pytest.fixture
def world(make, begin):
    with make(7, runners={"alpha": "local"}) as made:
        begin(made)
        yield made


def row(world, name="alpha"):
    with world.client.read() as connection:
        return next(one for one in services.all_of(connection, world.client.place) if one.name == name)


def live(world, seconds):
    """Second by second: a quiet stretch that is crossed in one step would jump over a pause's end."""
    for _ in range(int(seconds)):
        world.clock.advance(1)
        world.tick()


def pause(world, **args):
    number = world.ask("runner.pause", "alpha", {"note": "disk is swapped", **args})
    live(world, 2)
    with world.client.read() as connection:
        return commands.get(connection, number)


def test_it_finishes_its_job_rests_and_starts_by_itself(world):
    world.commit("alpha")
    world.wire.repositories["alpha"].seconds = {"build": 20, "test": 1, "package": 1}
    live(world, 3)
    assert row(world).state.busy == 1
    assert pause(world, seconds=600).status == "done"
    assert row(world).state.phase is Phase.RUNNING
    live(world, 60)
    state = row(world).state
    assert (state.phase, state.desired) == (Phase.STOPPED, Desired.DRAINED)
    assert all(one.outcome is not None for one in world.wire.attempts)  # nothing was cut off
    condition = look(world.client).runners["alpha"].condition
    assert condition.text.startswith("is paused until 2026-01-05 ")
    assert condition.text.endswith(f" UTC by {commands.actor()}: disk is swapped")
    live(world, 500)
    assert row(world).state.phase is Phase.STOPPED
    live(world, 60)
    state = row(world).state
    assert (state.phase, state.desired, state.pause) == (Phase.RUNNING, Desired.UP, None)


def test_the_next_engine_knows_of_it(world):
    pause(world, seconds=60)
    live(world, 10)
    world.bury()
    world.clock.advance(3600)
    assert world.boot()
    live(world, 5)
    assert row(world).state.phase is Phase.RUNNING


@pytest.mark.parametrize("verb", ["runner.start", "runner.stop"])
def test_who_starts_or_stops_it_ends_the_pause(world, verb):
    pause(world, seconds=60)
    live(world, 10)
    world.ask(verb, "alpha", {"kind": "local", "options": {"slots": 2}} if verb == "runner.start" else {})
    live(world, 120)
    state = row(world).state
    assert state.pause is None
    assert state.phase is (Phase.RUNNING if verb == "runner.start" else Phase.STOPPED)


def test_without_a_time_it_lasts_until_somebody_starts_it(world):
    pause(world)
    live(world, 10)
    world.clock.advance(86_400)
    live(world, 10)
    assert row(world).state.phase is Phase.STOPPED
    assert look(world.client).runners["alpha"].condition.text == f"is paused by {commands.actor()}: disk is swapped"


@pytest.mark.parametrize("seconds", [0, -1, 1e12, "soon"])
def test_a_pause_that_cannot_be_is_refused(world, seconds):
    answer = pause(world, seconds=seconds)
    assert answer.status == "refused"
    assert "cannot be" in answer.result["error"]
    assert row(world).state.phase is Phase.RUNNING


def test_a_repair_by_hand_is_an_incident_that_ends_with_a_proof_and_its_job_runs_again(world):
    world.wire.repositories["alpha"].seconds = {"build": 20, "test": 1, "package": 1}
    world.commit("alpha")
    live(world, 3)
    before = row(world)
    number = world.ask("runner.repair", "alpha", {"note": "it is slow"})
    live(world, 60)
    with world.client.read() as connection:
        assert commands.get(connection, number).status == "done"
        (incident,) = history.latest_incidents(connection, world.client.place)
    after = row(world)
    assert (after.state.phase, after.state.incarnation) == (Phase.RUNNING, before.state.incarnation + 1)
    assert (incident.title, incident.state) == ("alpha was repaired by hand", "healthy")
    assert incident.cause == f"{commands.actor()} asked for a repair: it is slow"
    assert incident.proof
    first, again = [one for one in world.wire.attempts if one.key == "build"]
    assert first.outcome is None
    assert again.outcome is not None


def test_a_repair_ends_a_quarantine(world):
    world.machine.programs["alpha"] = Program(lives=timedelta(seconds=0.2), code=1)
    world.machine.kill("alpha")
    live(world, 400)
    assert row(world).state.phase is Phase.QUARANTINED
    world.machine.programs["alpha"] = Program()
    world.ask("runner.repair", "alpha")
    live(world, 20)
    assert (row(world).state.phase, row(world).state.failures) == (Phase.RUNNING, 0)


def test_repairs_by_hand_spend_no_budget(world):
    for _ in range(8):  # more than automatic restarts may be within ten minutes
        world.ask("runner.repair", "alpha")
        live(world, 15)
        assert row(world).state.phase is Phase.RUNNING
