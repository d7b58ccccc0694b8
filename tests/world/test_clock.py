"""The clock is set back by an hour, the machine sleeps for a night: no runner is touched for that, and both are said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qcity_nb.store import history, services

MOVES = [("jump", -3600, "set back by 3600 s"), ("jump", 3600, "set forward"), ("sleep", 28_800, "slept")]


@pytest.mark.parametrize(("how", "seconds", "said"), MOVES)
def test_no_runner_is_touched_when_only_the_clock_moved(make, begin, how, seconds, said):
    with make(3, runners={"alpha": "local", "agent": "command"}) as world:
        begin(world)
        world.live_until(world.clock.now() + timedelta(seconds=30))
        births = len(world.machine.trees)
        getattr(world.clock, how)(seconds)
        world.live_until(world.clock.now() + timedelta(minutes=2))
        assert len(world.machine.trees) == births, "nothing was started again"
        with world.store.read() as connection:
            flips = services.flips_of(connection, world.store.place, subject="engine")
            assert history.latest_incidents(connection, world.store.place) == []
        assert any(said in flip.reason and "no runner was touched" in flip.reason for flip in flips)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_an_engine_that_starts_after_the_clock_was_set_keeps_to_its_budget_and_its_delays(make, begin, seconds):
    """A service in back-off is started again neither an hour late nor in a row without end."""
    with make(4, runners={"agent": "command"}) as world:
        begin(world)
        world.machine.program("agent").lives = timedelta(seconds=0.2)
        world.live_until(world.clock.now() + timedelta(seconds=8))
        world.bury()
        world.clock.jump(seconds)
        world.machine.program("agent").lives = None
        world.boot()
        world.live_until(world.clock.now() + timedelta(minutes=6))
        assert world.machine.living("agent"), "it waited for a clock that will not come back"
