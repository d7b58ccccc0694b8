"""Which place takes a claim over: its terms, its health, its budget and its start time count, and what is said of it."""

from __future__ import annotations

from qcity_nb.model.place import Ruling
from qcity_nb.store import services
from qcity_nb.testing.fleet import TERM, FakeFleet


def test_a_place_whose_budget_is_spent_takes_nothing_over(scene):
    one, two = scene.places
    for place in scene.places:
        places = [{"name": "a", "budget": "3.5"}, {"name": "b", "budget": "0"}]
        place.ask("fleet.join", lease="memory", term=TERM, me=place.name, places=places)
        place.ask("runner.start", "web", kind="command", claim="web")
    scene.live(3)
    assert one.up
    one.cut(off=True)
    scene.live(TERM * 3)
    assert not two.up


def test_a_place_whose_terms_forbid_it_takes_nothing_over_and_says_so(scene):
    one, two = scene.begin()
    two.ruling = Ruling(allowed=False, why="free Colab forbids it")
    assert one.claim().next == "b", "of another place it knows only what the fleet's table says"
    one.cut(off=True)
    scene.live(TERM * 3)
    assert not two.up
    assert two.state().reason == "this place may not take web: free Colab forbids it"
    assert two.claim().next == "", "nobody but the one that held it"
    two.ruling = Ruling()
    scene.live(TERM * 2)
    assert two.up


def test_what_a_place_holds_it_keeps_whatever_its_terms_say_later(scene):
    one, _two = scene.begin()
    one.ruling = Ruling(allowed=False, why="the paid hours are over")
    scene.live(TERM * 3)
    assert one.up
    assert one.claim().epoch == 1


def test_a_place_of_a_kind_that_may_not_is_never_the_next(scene):
    one, two = scene.places
    for place in scene.places:
        places = [{"name": "c", "kind": "colab", "start": 1}, {"name": "b", "start": 9}, {"name": "a", "start": 5}]
        place.ask("fleet.join", lease="memory", term=TERM, me=place.name, places=places)
        place.ask("runner.start", "web", kind="command", claim="web")
    scene.live(TERM)
    assert [place.engine._fleet._rank("web") for place in scene.places] == [0, 1]
    assert {one.claim().next, two.claim().next} <= {"a", "b"}


def test_a_place_that_is_ill_comes_after_those_that_are_well(tmp_path):
    """Its disk, or its way to the platform, is no reason to let nobody run; but another place is better."""
    scene = FakeFleet(tmp_path, "abc")
    one, two, three = scene.begin()
    with two.store.write() as connection:
        row = two.engine.context.services["web"]
        two.engine.context.services["web"] = services.note(connection, row, trouble={"machine": "preflight: the disk is full"})
    scene.live(1)
    assert two.claim().next == "c"
    one.cut(off=True)
    scene.live(TERM * 3)
    assert three.up
    three.cut(off=True)
    scene.live(TERM * 3)
    assert two.up
    scene.close()
