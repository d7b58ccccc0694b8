"""The store's file is damaged under a running engine: it is moved aside, its last good copy takes its place, and what runs is adopted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

import pytest

from qcity_nb.model.home import Home
from qcity_nb.store.database import prepare
from qcity_nb.testing.real_engine import RealEngine, alive, engine_of, until

pytestmark = pytest.mark.real


@pytest.fixture
def engine(home: Home) -> Iterator[RealEngine]:
    store, _ = prepare(home)
    with contextlib.closing(store), engine_of(store) as running:
        yield running


def damage(home: Home) -> None:
    for suffix in ("", "-wal"):
        path = home.store.with_name(home.store.name + suffix)
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))


def has_a_copy_with(home: Home, name: str) -> bool:
    copies = sorted(home.backups.glob("qcity-*.db"))
    if not copies:
        return False
    with contextlib.closing(sqlite3.connect(copies[-1])) as copy:
        return bool(copy.execute("select 1 from services where name = ?", (name,)).fetchone())


@pytest.mark.parametrize("who", ["the engine finds it", "a client restores it first"])
def test_what_runs_is_adopted_when_the_store_is_restored(engine: RealEngine, who: str) -> None:
    row = engine.run("agent", "sleep", "1000")
    until(lambda: has_a_copy_with(engine.home, "agent"), seconds=30)
    engine.store.close()
    damage(engine.home)
    if who != "the engine finds it":
        restored, said = prepare(engine.home)
        restored.close()
        assert "was restored" in said
    until(lambda: list(engine.home.root.glob("damaged-*")), seconds=60)
    engine.store, _ = prepare(engine.home)
    with contextlib.closing(engine.store):
        again = until(lambda: engine.row("agent") if engine.row("agent").state.phase.value == "running" else None, seconds=30)
        assert alive(row.pid or 0)
        assert again.state.incarnation == 1
        assert engine.ask("runner.stop", "agent").status == "done"
        engine.phase("agent", "stopped")
        assert not alive(row.pid or 0)
    engine.store, _ = prepare(engine.home)
