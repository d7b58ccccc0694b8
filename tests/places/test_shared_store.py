"""A host over SSH and this machine share one PostgreSQL: the address travels as a secret, and each sees the other's engine in the store."""

from __future__ import annotations

import importlib.util
from contextlib import closing
from pathlib import Path

import pytest

from qcity_nb.client.city import QCity
from qcity_nb.client.hosts import ProcessHost
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Running
from qcity_nb.store.database import prepare
from qcity_nb.ui.painter import PAINTER

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_engine_that_was_started_over_ssh_is_seen_in_the_shared_store_postgresql(host, python, home, postgres_database):
    store, _ = prepare(home, postgres_database)
    with closing(store):
        city = QCity(store, ProcessHost(store), say=print, painter=PAINTER)
        city.places.add(PlaceConfig(name="box", kind="ssh", options={**host.options, "python": python, "store": "shared"}))
        assert city.places.start("box").running is Running.UP
        base = host.home / ".qcity" / "box"
        assert (base / "store").read_text() == postgres_database
        assert (base / "store").stat().st_mode & 0o777 == 0o600
        (engine,) = _conftest.engines_below(host.home)
        assert postgres_database not in " ".join(engine.cmdline())
        there = (base / "home" / "place").read_text().strip()
        city.places.add(PlaceConfig(name="seen", kind="shared", options={"place": there}))
        state = city.places.status("seen")
        assert state.running is Running.UP
        assert state.generation == 1
        assert city.places.stop("box").running is Running.DOWN
        assert city.places.status("seen").running is Running.DOWN
        assert "ended on purpose" in city.places["seen"].state.sentence
        kept = (home.root / "places.json").read_text()
        assert postgres_database not in kept
