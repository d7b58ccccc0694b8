"""The runner kind `place` keeps the contract of runners."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.engine import make_url

from qcity_nb.client.places import Places
from qcity_nb.errors import BadInput
from qcity_nb.kinds import load
from qcity_nb.kinds.runners import place
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import PlaceReport, PlaceState, Running
from qcity_nb.model.service import ServiceSpec
from qcity_nb.store.database import prepare_home
from qcity_nb.testing.contracts import RunnerContract

ADDRESS = "postgresql+psycopg://people:secret@db.example/qcity"


class TestPlace(RunnerContract):
    def subject(self):
        return load("runners", "place")

    def good(self, folder):
        return ServiceSpec(name="elsewhere", kind="place", options={"places": [{"name": "me", "kind": "here"}]})


@pytest.mark.parametrize(
    ("places", "words"),
    [(None, "needs a place"), ([], "needs a place"), ([{"kind": "here"}], "cannot be used"), ([{"name": "a", "kind": "moon"}], "no kind")],
)
def test_a_place_that_cannot_be_meant_is_said(places, words):
    with pytest.raises(BadInput, match=words):
        load("runners", "place").check(ServiceSpec(name="elsewhere", kind="place", options={"places": places}))


class Elsewhere:
    """A place that starts whatever it is brought."""

    def __init__(self):
        self.brought = []

    def check(self):
        return PlaceReport(place="box", kind="ssh")

    def status(self):
        return PlaceState(place="box", kind="ssh", running=Running.ABSENT, sentence="nothing of ours is there")

    def start(self, parcel):
        self.brought.append(parcel)
        return PlaceState(place="box", kind="ssh", running=Running.UP, sentence="its engine is up")


@pytest.mark.parametrize(("options", "expected"), [({"store": "shared"}, ADDRESS), ({}, "")])
def test_the_address_of_a_shared_store_is_handed_on_where_it_is_asked_for_and_lies_in_no_specification(tmp_path, monkeypatch, options, expected):
    home, there = prepare_home(tmp_path / "home"), Elsewhere()
    config = PlaceConfig(name="box", kind="ssh", options={"host": "box.example", **options})
    store = SimpleNamespace(home=home, embedded=False, url=make_url(ADDRESS))
    Places(SimpleNamespace(store=store, say=print)).provide(config)
    kept = list((home.root / "secrets").glob("*")) if (home.root / "secrets").exists() else []
    assert [path.stat().st_mode & 0o077 for path in kept] == [0] * len(options)
    monkeypatch.setattr(place, "open_place", lambda *_, **__: there)
    runner = place.Elsewhere(home, [config])
    runner._keep_up()
    assert [parcel.store for parcel in there.brought] == [expected]
    assert runner.at == "box"
