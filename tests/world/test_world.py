"""Months of simulated life: the real engine on a real store, under every fault at every point. What must hold is in `qcity_nb.testing.oracles`.

A failure prints its seed; `pytest tests/world --world-seeds N` lives longer.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from pathlib import Path

import pytest

from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing import mischief
from qcity_nb.testing.oracles import LIVENESS, SAFETY, hold, settle
from qcity_nb.testing.world import World, stretch

BUDGET_SECONDS = 12.0
EVENTS = 40


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A migrated, empty store."""
    home = prepare_home(tmp_path_factory.mktemp("template"))
    prepare(home)[0].close()
    return home.store


@pytest.fixture
def shelf(tmp_path) -> Path:
    """A folder for many worlds, in memory where there is room: fsync is not what is tried here."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else tmp_path


def life(world: World, *, events: int = EVENTS) -> None:
    """One life: mischief at intervals of a blink to half a day, then calm."""
    world.boot()
    for name in world.runners:
        world.start_runner(name)
    world.live_until(world.clock.now() + timedelta(seconds=10))
    for _ in range(events):
        mischief.act(world)
        world.live_until(world.clock.now() + stretch(world.random))
        hold(world, SAFETY)
    mischief.calm(world)
    settle(world)
    hold(world, (*SAFETY, *LIVENESS))


def test_months_of_life(request, shelf, template, tmp_path):
    seeds = request.config.getoption("--world-seeds")
    begin, lived, killed, seed = time.monotonic(), timedelta(0), 0, 0
    while seed < seeds or (not seeds and time.monotonic() - begin < BUDGET_SECONDS):
        with world_in(shelf, seed, template=template) as world:
            started = world.clock.now()
            life(world)
            lived += world.clock.now() - started
            killed += len(world.machine.fuse.struck)
        seed += 1
    print(f"{seed} lives, {lived.days} days, {killed} engines killed between two acts, {time.monotonic() - begin:.1f} s")
    assert lived > timedelta(days=30)


@contextlib.contextmanager
def world_in(shelf: Path, seed: int, **more):
    import tempfile

    with tempfile.TemporaryDirectory(dir=shelf, prefix="qcity-world-") as folder:
        world = World(Path(folder), seed, **more)
        with contextlib.closing(world):
            yield world
