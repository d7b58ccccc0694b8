"""Claims in the engine, on fakes: who runs, who stands by, what a lost lease ends. Lease stores are asked in real threads, time is simulated."""

from __future__ import annotations

import random
import time
from datetime import timedelta

import pytest

from qcity_nb.io import fence
from qcity_nb.model.service import Phase
from qcity_nb.testing.fleet import TERM, FakeFleet
from qcity_nb.testing.real_engine import until


def test_one_runs_and_the_other_stands_by_and_says_why(scene):
    one, two = scene.begin()
    assert one.state().phase is Phase.RUNNING
    assert (two.state().phase, two.state().standby) == (Phase.STOPPED, True)
    assert "held by a (epoch 1)" in two.state().reason
    assert (one.claim().mine, two.claim().mine, two.claim().holder, two.claim().next) == (True, False, "a", "b")
    assert fence.of(one.home.service("web")).epoch == 1
    assert fence.of(two.home.service("web")) is None


def test_the_fence_moves_with_each_renewal(scene):
    one, _two = scene.begin()
    first = fence.of(one.home.service("web"))
    scene.live(20)
    later = fence.of(one.home.service("web"))
    assert later.stop - first.stop > 12
    assert later.kill - later.stop == pytest.approx(TERM / 6)
    assert one.state().incarnation == 1


def test_a_holder_that_is_cut_off_ends_before_another_begins_and_comes_back_only_in_a_new_epoch(scene):
    one, two = scene.begin()
    one.cut(off=True)
    scene.live(TERM * 0.7)
    assert not one.up
    assert (one.state().phase, one.state().standby) == (Phase.STOPPED, True)
    assert "could not be renewed (the store is away)" in one.state().reason
    scene.live(TERM)
    assert two.up
    assert two.claim().epoch == 2
    one.cut(off=False)
    scene.live(TERM * 3)
    assert two.up
    two.cut(off=True)
    scene.live(TERM * 2)
    assert one.up
    assert fence.of(one.home.service("web")).epoch == 3
    assert not [row for row in one.machine.trees if row.incarnation > 2]


def test_with_the_store_away_for_all_nobody_runs(scene):
    for place in scene.begin():
        place.cut(off=True)
    scene.live(TERM * 5)
    assert not any(place.up for place in scene.places)
    for place in scene.places:
        place.cut(off=False)
    scene.live(TERM * 2)
    assert sum(place.up for place in scene.places) == 1


def test_a_stopped_runner_gives_its_claim_away_at_once_and_only_after_it_is_gone(scene):
    one, two = scene.begin()
    one.machine.program("web").ignores_term = True
    one.ask("runner.stop", "web")
    assert scene.registers["web"].stored.record.state.value == "held"
    scene.live(4)  # far less than a term
    assert not one.up
    assert two.up
    assert one.state().standby is False


def test_a_quarantined_runner_lets_another_place_have_its_claim(scene):
    one, two = scene.begin()
    one.machine.program("web").error = "no such program"
    one.machine.kill("web")
    scene.live(400)
    assert one.state().phase is Phase.QUARANTINED
    assert two.up


def test_a_new_engine_goes_on_with_what_lives_in_the_same_epoch(scene):
    one, _two = scene.begin()
    one.engine.context.processes.close()
    one.engine._fleet.close()
    one.boot()
    scene.live(20)
    assert one.up
    assert len(one.machine.trees) == 1
    assert fence.of(one.home.service("web")).epoch == 1
    assert one.claim().mine


def test_an_engine_that_ends_with_its_runners_gives_its_claims_back_first(scene):
    one, two = scene.begin()
    one.ask("engine.stop", runners=True)

    def over():
        one.clock.advance(0.1)
        one.engine.tick()
        return one.engine.over

    until(over)
    assert scene.registers["web"].stored.record.state.value == "released"
    scene.dead.add(one)
    scene.live(4)
    assert two.up


def test_a_claim_without_a_fleet_is_refused_and_a_bad_fleet_too(scene):
    one = scene.places[0]
    answer = one.ask("runner.start", "web", kind="command", claim="web")
    assert (answer.status, answer.result["kind"]) == ("refused", "Refused")
    assert "in no fleet" in answer.result["error"]
    cases = [("drive:x", TERM, "cannot be kept"), ("memory", 0.1, "cannot be"), ("memory", "x", "cannot be used")]
    bad = one.ask("fleet.join", lease="memory", term=TERM, places=[{"name": "c", "kind": "colab", "options": {"tier": "payed"}}])
    assert (bad.status, bad.result["error"]) == ("refused", '"payed" is no tier')
    for lease, term, says in cases:
        answer = one.ask("fleet.join", lease=lease, term=term)
        assert answer.status == "refused"
        assert says in answer.result["error"]
    assert one.ask("fleet.leave").status == "refused"


def test_leaving_and_changing_the_store_are_refused_while_something_is_wanted_up(scene):
    one, two = scene.begin()
    assert "runner stop web" in one.ask("fleet.leave").result["todo"]
    assert one.ask("fleet.join", lease="memory", term=TERM * 2).status == "refused"
    assert one.ask("fleet.join", lease="memory", term=TERM, me="a", places=[{"name": "b"}, {"name": "a"}]).result["rank"] == 1
    two.ask("runner.stop", "web")
    assert two.ask("fleet.leave").status == "done"
    assert two.ask("runner.start", "web", kind="command", claim="web").status == "refused"


def test_a_claim_that_is_not_said_again_is_kept(scene):
    _one, two = scene.begin()
    assert two.ask("runner.start", "web", kind="command", grace=0.5).status == "done"
    scene.live(3)
    assert two.state().standby
    assert not two.up


def test_a_tick_does_not_wait_for_a_lease_store_that_hangs_and_gives_it_up_in_the_end(scene):
    one, _two = scene.begin()
    couriers = one.engine._fleet._couriers
    first = couriers["web"]
    for lease in one.leases:
        lease.hangs = 30.0

    def given_up():
        scene.clock.advance(0.5)
        begin = time.monotonic()
        one.engine.tick()
        assert time.monotonic() - begin < 20
        return couriers.get("web") is not first

    until(given_up)
    assert "does not answer" in one.claim().trouble


class Mischief:
    """A random life of three places: engines killed and frozen, services killed, stores cut off, people who stop and start. Keepers do their work."""

    def __init__(self, scene, seed):
        self.scene, self.dice = scene, random.Random(seed)
        self.back = {}  # place -> when its engine, or its way to the store, comes back
        self.frozen = set()

    def happen(self):
        acting = [place for place in self.scene.places if place.up and self.dice.random() < 0.6]
        place, now = self.dice.choice(acting or self.scene.places), self.scene.clock.now()
        what = self.dice.choice(["kill", "freeze", "cut", "service", "stop", "start"])
        later = now + timedelta(seconds=self.dice.random() * TERM * 2)
        if place in self.back:
            return
        if what == "kill":
            place.engine._fleet.close()
            place.engine = None
            self.scene.dead.add(place)
            self.back[place] = later
        elif what == "freeze":
            self.frozen.add(place)
            self.scene.dead.add(place)
            self.back[place] = later
        elif what == "cut":
            place.cut(off=True)
            self.back[place] = later
        elif what == "service":
            place.machine.kill("web")
        else:
            place.ask(f"runner.{what}", "web", **({"kind": "command", "claim": "web", "grace": 0.5} if what == "start" else {}))

    def heal(self, place):
        self.back.pop(place, None)
        place.cut(off=False)
        self.frozen.discard(place)
        self.scene.dead.discard(place)
        if place.engine is None:
            place.boot()

    def live(self, seconds):
        for _ in range(int(seconds * 2)):
            self.scene.clock.advance(0.5)
            for place in [place for place, at in self.back.items() if at <= self.scene.clock.now()]:
                self.heal(place)
            for place in self.scene.places:
                limit = fence.of(place.home.service("web"))
                if place.up and (limit is None or self.scene.clock.now().timestamp() >= limit.kill):
                    place.machine.kill("web")
                if place not in self.scene.dead:
                    place.settle()
            assert sum(place.up for place in self.scene.places) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_random_life_of_three_places_never_has_two_that_run(tmp_path, seed):
    scene = FakeFleet(tmp_path, "abc")
    scene.begin()
    mischief = Mischief(scene, seed)
    for _ in range(40):
        mischief.happen()
        mischief.live(mischief.dice.choice([1, 3, TERM]))
    for place in scene.places:
        mischief.heal(place)
        place.ask("runner.start", "web", kind="command", claim="web", grace=0.5)
    mischief.live(TERM * 4)
    assert sum(place.up for place in scene.places) == 1
    assert scene.registers["web"].stored.record.epoch > 3
    scene.close()


@pytest.mark.slow
def test_a_keeper_that_minds_no_fence_is_found(tmp_path, monkeypatch):
    """The planted bug: an engine that was killed leaves its service, and another place begins."""
    scene = FakeFleet(tmp_path, "abc")
    scene.begin()
    mischief = Mischief(scene, 0)
    monkeypatch.setattr(fence, "of", lambda _folder: fence.Fence(epoch=1, stop=1e12, kill=1e12))  # the bug itself
    holder = next(place for place in scene.places if place.up)
    holder.engine._fleet.close()
    scene.dead.add(holder)
    with pytest.raises(AssertionError):
        mischief.live(TERM * 3)
    scene.close()
