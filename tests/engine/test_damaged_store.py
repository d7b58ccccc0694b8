"""The store's file is damaged under a running engine: it is moved aside, its last good copy takes its place, and what runs is adopted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import qcity_nb
from qcity_nb.errors import StoreError
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


@pytest.mark.parametrize("host", ["process", "kernel", "once"])
def test_a_client_that_stays_open_follows_the_restored_store(tmp_path: Path, host: str) -> None:
    """A notebook's client: the same one all the time, whoever runs the engine."""
    with contextlib.closing(qcity_nb.open(tmp_path / "home", host=host, say=lambda _said: None)) as city:
        home = Home(city.home)
        agent = city.runners.start("command", "agent", command=["sleep", "1000"])
        before = agent.pid
        until(lambda: pump(city) and has_a_copy_with(home, "agent"), seconds=30)
        with sqlite3.connect(home.store) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        with home.store.open("r+b") as file:
            file.write(os.urandom(3000))
        until(lambda: pump(city) and list(home.root.glob("damaged-*")), seconds=60)
        until(lambda: pump(city) and names(city) == ["agent"], seconds=30)
        city.runners.start("command", "second", command=["sleep", "1000"])
        assert names(city) == ["agent", "second"]
        with contextlib.closing(sqlite3.connect(home.store)) as fresh:
            assert [row[0] for row in fresh.execute("select name from services order by name")] == ["agent", "second"]
        assert city.runners["agent"].pid == before
        city.stop(runners=True)
        assert not alive(before)


def pump(city: qcity_nb.QCity) -> bool:
    with contextlib.suppress(StoreError):
        city.link.host.pump(0.01)
    return True


def names(city: qcity_nb.QCity) -> list[str]:
    with contextlib.suppress(StoreError):
        return sorted(runner.name for runner in city.runners)
    return []


def test_a_client_pays_a_look_at_the_file_for_following_and_an_engine_never_follows(home: Home) -> None:
    client, _ = prepare(home, follows=True)
    engine, _ = prepare(home)
    with contextlib.closing(client), contextlib.closing(engine):
        with client.read(), engine.read():
            pool = client._engine.pool
        with client.read():
            assert client._engine.pool is pool, "nothing is opened anew while the file is the same"
        copy = home.store.with_name("copy")
        copy.write_bytes(home.store.read_bytes())
        copy.rename(home.store)
        assert engine.is_gone()
        with client.read():
            assert client._engine.pool is not pool
        with engine.read():
            assert engine.is_gone(), "once gone is gone"


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
