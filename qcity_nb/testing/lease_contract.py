"""The contract suite of `ports.LeaseStore`: subclass it, give it stores, and pytest runs it. The fake in memory passes the same one."""

from __future__ import annotations

import subprocess
import sys
import threading
from abc import abstractmethod
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ..decide import tenure as rules
from ..decide.tenure import Tenure
from ..errors import LeaseError
from ..model.fleet import Epoch, Holding, Instant, Tenancy
from ..ports import LeaseStore
from .leases import Belief, Tenant, beliefs_of, contend, doubles

FIRST = Holding(claim="web", place="a", epoch=Epoch(1), renewed=0, term=timedelta(seconds=20), name="a", seat="s")


class LeaseContract:
    """What every lease store promises."""

    contenders = 4
    epochs = 1000
    term = timedelta(seconds=1.2)

    @abstractmethod
    def make(self, who: str) -> LeaseStore:
        """The store of the claim `web`, as the place `who` sees it."""

    @abstractmethod
    def cut(self, who: str, *, off: bool) -> None:
        """Make the store unreachable for one place, or reachable again."""

    def where(self) -> str | None:
        """What `open_lease` takes, for contenders in processes of their own; None has them be threads."""
        return None

    def test_nothing_is_there_at_first(self) -> None:
        """None, not an error."""
        assert self.make("a").read() is None

    def test_what_was_put_is_read_by_another_place(self) -> None:
        """Every field of it, with the version that the swap answered."""
        record = replace(FIRST, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
        version = self.make("a").swap(None, record)
        found = self.make("b").read()
        assert found is not None
        assert (found.record, found.version) == (record, version)

    def test_only_the_first_of_two_swaps_is_done(self) -> None:
        """At the beginning as later: the second one expects what is no longer there."""
        one, two = self.make("a"), self.make("b")
        version = one.swap(None, FIRST)
        assert version is not None
        assert two.swap(None, replace(FIRST, place="b")) is None
        newer = two.swap(version, replace(FIRST, place="b", epoch=Epoch(2)))
        assert newer is not None
        assert one.swap(version, replace(FIRST, renewed=1)) is None
        found = one.read()
        assert found is not None
        assert (found.record.place, found.record.epoch, found.version) == ("b", 2, newer)

    def test_versions_differ_although_a_record_comes_back(self) -> None:
        """Otherwise a swap could succeed on what was there before."""
        store = self.make("a")
        version, seen = None, set()
        for renewed in range(4):
            version = store.swap(version, replace(FIRST, renewed=renewed))
            assert version not in seen
            seen.add(version)

    def test_an_unreachable_store_says_so(self) -> None:
        """As an error that is no verdict; afterwards it goes on as if nothing had been."""
        store = self.make("a")
        version = store.swap(None, FIRST)
        self.cut("a", off=True)
        for call in (store.read, lambda: store.swap(version, replace(FIRST, renewed=1))):
            with pytest.raises(LeaseError) as caught:
                call()
            assert not caught.value.permanent
        self.cut("a", off=False)
        found = store.read()
        assert found is not None
        assert found.record.key == FIRST.key

    def test_an_answer_that_is_lost_is_found_by_reading(self) -> None:
        """The holder finds its own record and counts its term from when it sent it."""
        store = self.make("a")
        mine = Tenure(claim="web", place="a", term=timedelta(seconds=20))
        begin = Instant(100.0, 100.0)
        mine, _ = rules.step(mine, begin, wanted=True)
        mine = rules.found(mine, store.read(), begin)
        mine, ask = rules.step(mine, begin, wanted=True)
        assert isinstance(ask, rules.Swap)
        assert store.swap(ask.expected, ask.record) is not None
        mine = rules.failed(mine, "the answer was lost", Instant(103.0, 103.0))
        mine, ask = rules.step(mine, Instant(105.0, 105.0), wanted=True)
        assert isinstance(ask, rules.Read)
        mine = rules.found(mine, store.read(), Instant(105.0, 105.0))
        assert mine.held == 1
        assert mine.since == begin

    def test_a_thousand_contested_epochs_have_one_holder_each(self, tmp_path: Path) -> None:
        """Several contenders want every epoch; no two of them hold at the same time."""
        if (where := self.where()) is None:
            beliefs: list[Belief] = []
            crowd = [
                threading.Thread(target=contend, args=(self.make(str(number)), str(number), self.epochs, beliefs.append))
                for number in range(self.contenders)
            ]
            for one in crowd:
                one.start()
            for one in crowd:
                one.join()
        else:
            logs = [tmp_path / f"{number}.log" for number in range(self.contenders)]
            processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "qcity_nb.testing.leases", where, "web", tmp_path / f"h{number}", str(number), str(self.epochs), log]
                )
                for number, log in enumerate(logs)
            ]
            for process in processes:
                assert process.wait() == 0
            beliefs = beliefs_of(logs)
        assert {belief.epoch for belief in beliefs} >= set(range(1, self.epochs + 1)), "an epoch that nobody noticed"
        assert len({belief.who for belief in beliefs}) == self.contenders, "nobody contended"
        assert doubles(beliefs) == []

    @pytest.mark.slow
    def test_tenants_that_stall_are_never_two(self) -> None:
        """Three places with real clocks stall for up to three terms and lose answers; what acts under the claim is never double."""
        beliefs: list[Belief] = []
        crowd = [
            threading.Thread(target=Tenant(self.make(who), who, self.term, beliefs.append, rank=rank).live, args=(self.term.total_seconds() * 9,))
            for rank, who in enumerate("abc")
        ]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
        assert doubles(beliefs) == []
        assert len({belief.epoch for belief in beliefs}) > 1, "nothing ever changed hands"

    def test_a_release_is_taken_at_once(self) -> None:
        """Without waiting for the term to be over."""
        one, two = self.make("a"), self.make("b")
        version = one.swap(None, FIRST)
        assert version is not None
        assert one.swap(version, replace(FIRST, state=Tenancy.RELEASED, renewed=1)) is not None
        other = Tenure(claim="web", place="b", term=timedelta(seconds=20))
        begin = Instant(5.0, 5.0)
        other, _ = rules.step(other, begin, wanted=True)
        other, ask = rules.step(rules.found(other, two.read(), begin), begin, wanted=True)
        assert isinstance(ask, rules.Swap)
        assert ask.record.epoch == 2
        other = rules.swapped(other, two.swap(ask.expected, ask.record), begin)
        assert rules.holds(other, begin)
