"""Places of the kind `shared`: what another machine's engine wrote into the store."""

from __future__ import annotations

import pytest

from qcity_nb.errors import Refused
from qcity_nb.kinds.places import open_place
from qcity_nb.kinds.places.shared import KIND
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Parcel, Running, Sighting
from qcity_nb.testing.place_contract import PlaceContract

UP = Sighting(place="a" * 32, machine="workstation", generation=3, age=2.0)
PARCEL = Parcel(wheel="", version="1", tag="1")


def place(home, *sightings, **options):
    return open_place(PlaceConfig(name="workstation", kind="shared", options=options), home=home, sightings=sightings)


class TestShared(PlaceContract):
    starts = False

    @pytest.fixture(autouse=True)
    def _given(self, home):
        self._home = home

    def good(self):
        return PlaceConfig(name="other", kind="shared", options={"machine": "workstation"})

    def unreachable(self):
        return PlaceConfig(name="nowhere", kind="shared")

    def parcel(self):
        return PARCEL

    def home(self):
        return self._home

    def sightings(self):
        return (UP,)


@pytest.mark.parametrize(
    ("seen", "running", "words"),
    [
        ((UP,), Running.UP, "runs (last sign 2"),
        ((Sighting(place="a", machine="workstation", generation=3, age=90.0),), Running.DOWN, "has given no sign of life for"),
        ((Sighting(place="a", machine="workstation", generation=3, age=5.0, released=True),), Running.DOWN, "ended on purpose 5"),
        ((), Running.ABSENT, "knows no engine of workstation"),
    ],
)
def test_its_engine_is_what_it_last_signed(home, seen, running, words):
    state = place(home, *seen).status()
    assert state.running is running
    assert words in state.sentence


def test_of_several_engines_on_one_machine_the_one_that_lives_counts(home):
    old = Sighting(place="b", machine="workstation", generation=9, age=1.0, released=True)
    assert place(home, old, UP).status().generation == 3
    assert place(home, old, UP, place="b").status().running is Running.DOWN


def test_it_is_found_by_the_id_of_its_home_too(home):
    assert KIND.open(PlaceConfig(name="x", kind="shared", options={"place": "a" * 32}), home=home, sightings=(UP,)).check().ready


def test_one_that_is_down_has_to_be_started_where_it_is(home):
    with pytest.raises(Refused, match="cannot be started from here") as caught:
        place(home).start(PARCEL)
    assert "qcity up" in caught.value.todo
