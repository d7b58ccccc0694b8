"""Worlds: made from a migrated template, in memory where there is room, and lived through."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing import mischief
from qcity_nb.testing.oracles import LIVENESS, SAFETY, hold, settle
from qcity_nb.testing.world import World, stretch


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A migrated, empty store."""
    home = prepare_home(tmp_path_factory.mktemp("template"))
    prepare(home)[0].close()
    return home.store


@pytest.fixture
def make(template, tmp_path) -> Callable[..., contextlib.AbstractContextManager[World]]:
    """What makes a world from a seed, for a `with` statement. In memory where there is room: a disk's fsync is not what is tried here."""
    memory = Path("/dev/shm")

    @contextlib.contextmanager
    def one(seed: int, **more: object) -> Iterator[World]:
        shelf = memory if memory.is_dir() else tmp_path
        with tempfile.TemporaryDirectory(dir=shelf, prefix="qcity-world-") as folder:
            given = {"template": template, **more}
            with contextlib.closing(World(Path(folder), seed, **given)) as world:
                yield world

    return one


@pytest.fixture
def begin() -> Callable[[World], None]:
    """An engine, all runners up."""

    def act(world: World) -> None:
        world.boot()
        for name in world.runners:
            world.start_runner(name)
        world.live_until(world.clock.now() + timedelta(seconds=10))

    return act


@pytest.fixture
def live(begin) -> Callable[..., None]:
    """One life: mischief at intervals of a blink to half a day or ten days, then calm, and everything must hold."""

    def act(world: World, *, events: int = 40, over: Callable[[], bool] = lambda: False) -> None:
        begin(world)
        longest = 864_000 if world.seed % 2 else 43_200  # long lives for the clock's sake, crowded ones for faults that meet
        for _ in range(events):
            mischief.act(world)
            world.live_until(world.clock.now() + stretch(world.random, longest=longest))
            hold(world, SAFETY)
            if over():  # a life that is cut short ends in calm like any other
                break
        end(world)

    return act


def end(world: World) -> None:
    """Faults cease, and all must be well."""
    mischief.calm(world)
    settle(world)
    hold(world, (*SAFETY, *LIVENESS))


@pytest.fixture
def finish() -> Callable[[World], None]:
    """Faults cease, and all must be well."""
    return end
