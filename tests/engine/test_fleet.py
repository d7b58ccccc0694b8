"""Claims in the engine, on fakes: who runs, who stands by, what a lost lease ends. Lease stores are asked in real threads, time is simulated."""

from __future__ import annotations

import random
import time
from datetime import timedelta

import pytest

from qcity_nb.engine.loop import Engine
from qcity_nb.errors import BadInput
from qcity_nb.io import fence
from qcity_nb.model.fleet import Instant
from qcity_nb.model.place import Ruling
from qcity_nb.model.service import Phase
from qcity_nb.store import commands, fleets, services
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing import FakeClock
from qcity_nb.testing.kinds import load
from qcity_nb.testing.leases import MemoryLease, MemoryRegister
from qcity_nb.testing.machine import Machine
from qcity_nb.testing.processes import FakeProcesses
from qcity_nb.testing.real_engine import until
from qcity_nb.testing.wire import FakeWire

TERM = 12.0


class Place:
    """A home with a machine of its own; its engine can be taken away and come back."""

    def __init__(self, folder, name, clock, registers):
        self.name, self.clock, self.registers = name, clock, registers
        self.home = prepare_home(folder / name)
        self.store = prepare(self.home)[0]
        self.machine, self.leases = Machine(clock), []
        self.away, self.ruling = False, Ruling()
        self.boot()

    def boot(self):
        self.engine = Engine(
            store=self.store,
            clock=self.clock,
            processes=FakeProcesses(self.machine),
            wire=FakeWire(self.machine, set()),
            kinds=lambda kind: load("runners", kind),
            home=self.home,
            leases=self.lease,
            ruling=lambda _: self.ruling,
            instant=lambda: Instant(self.clock.now().timestamp(), self.clock.now().timestamp()),
        )
        self.engine.start()

    def lease(self, where, claim, _seconds):
        if where != "memory":
            raise BadInput(f'leases cannot be kept in "{where}"')
        lease = MemoryLease(self.registers.setdefault(claim, MemoryRegister()))
        lease.away = self.away
        self.leases.append(lease)
        return lease

    def cut(self, *, off):
        self.away = off
        for lease in self.leases:
            lease.away = off

    def ask(self, verb, subject="", **args):
        with self.store.write() as connection:
            number = commands.ask(connection, self.store.place, verb, subject, args, at=self.clock.wall())
        self.engine.tick()
        with self.store.read() as connection:
            return commands.get(connection, number)

    def state(self, name="web"):
        with self.store.read() as connection:
            return {row.name: row for row in services.all_of(connection, self.store.place)}[name].state

    def claim(self):
        with self.store.read() as connection:
            return {view.claim: view for view in fleets.claims_of(connection, self.store.place)}["web"]

    @property
    def up(self):
        return any(tree.alive for tree in self.machine.running())

    def settle(self):
        """Tick until nothing is under way to the lease store."""

        def answered():
            self.engine.tick()
            return not any(tenure.asked for tenure in self.engine.context.claims.tenures.values())

        until(answered)


class Scene:
    def __init__(self, folder, names="ab"):
        self.clock, self.registers = FakeClock(), {}
        self.places = [Place(folder, name, self.clock, self.registers) for name in names]
        self.dead = set()

    def live(self, seconds):
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            for place in self.places:
                if place not in self.dead:
                    place.settle()
            assert sum(place.up for place in self.places if place not in self.dead) <= 1

    def begin(self):
        for place in self.places:
            named = [{"name": one.name} for one in self.places]
            assert place.ask("fleet.join", lease="memory", term=TERM, me=place.name, places=named).status == "done"
            answer = place.ask("runner.start", "web", kind="command", claim="web", grace=0.5)
            assert answer.status == "done", answer.result
            place.settle()
        self.live(3)
        return self.places


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    for place in made.places:
        place.engine.stop()
        place.store.close()


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
    scene = Scene(tmp_path, "abc")
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
    for place in scene.places:
        place.engine.stop()
        place.store.close()


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
    scene = Scene(tmp_path, "abc")
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
    for place in scene.places:
        place.engine.stop()
        place.store.close()


@pytest.mark.slow
def test_a_keeper_that_minds_no_fence_is_found(tmp_path, monkeypatch):
    """The planted bug: an engine that was killed leaves its service, and another place begins."""
    scene = Scene(tmp_path, "abc")
    scene.begin()
    mischief = Mischief(scene, 0)
    monkeypatch.setattr(fence, "of", lambda _folder: fence.Fence(epoch=1, stop=1e12, kill=1e12))  # the bug itself
    holder = next(place for place in scene.places if place.up)
    holder.engine._fleet.close()
    scene.dead.add(holder)
    with pytest.raises(AssertionError):
        mischief.live(TERM * 3)
    for place in scene.places:
        place.engine.stop()
        place.store.close()
