"""The contract suites of `ports.Publisher` and of `kinds.dns.Records`: subclass them, give them a service, and pytest runs them."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta, timezone

import pytest

from ..decide import pointer as rules
from ..decide.deadman import Change
from ..decide.pointer import Signpost
from ..errors import BadInput, NotFound, PlatformError, QCityError
from ..io import signing
from ..kinds import load
from ..kinds.dns import records
from ..kinds.followers import carry
from ..model.home import Home
from ..model.tunnel import Pointer
from ..ports import Publisher

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


class DnsContract:
    """What every publisher of pointers promises."""

    longest = 600

    @abstractmethod
    def pointer(self) -> Pointer:
        """A name that may be changed with the credential that is in the home."""

    @abstractmethod
    def home(self) -> Home:
        """A home with that credential; the same at each call."""

    @abstractmethod
    def strange(self) -> Pointer:
        """A name that the service, or this account of it, does not have."""

    @abstractmethod
    def spoil(self, *, forget: bool) -> None:
        """Put a wrong credential into the home, or forget the one that is there."""

    @abstractmethod
    def away(self) -> None:
        """Make the service unreachable."""

    def text(self, generation: int, *, home: Home | None = None, now: datetime = NOW, more: str = "") -> str:
        """A signed pointer."""
        post = Signpost(service="app", url=f"https://a{generation}.example{more}", generation=generation, since=now, until=now + rules.LEASE)
        return rules.encode(post, lambda text: signing.sign(home or self.home(), text))

    def put(self, text: str, expected: str | None) -> str:
        """Publish it."""
        return self._publisher().publish(self.pointer(), text, expected=expected, home=self.home())

    def read(self) -> str | None:
        """What is there."""
        return self._publisher().read(self.pointer(), home=self.home())

    def _publisher(self) -> Publisher:
        found: Publisher = load("dns", self.pointer().kind)
        return found

    def test_nothing_is_there_at_first(self) -> None:
        """None, not an error."""
        assert self.read() is None

    def test_what_is_published_is_read_again(self) -> None:
        """The first time and when it is replaced, and it is said in one sentence how long the old one may be seen."""
        first, second = self.text(1), self.text(2)
        assert "old one for" in self.put(first, "")
        assert self.read() == first
        said = self.put(second, first)
        assert self.read() == second
        assert self.pointer().name in said
        assert "\n" not in said

    def test_a_writer_that_is_late_changes_nothing(self) -> None:
        """What it expects is no longer there, or something is where it expects nothing."""
        first, second = self.text(1), self.text(2)
        self.put(first, None)
        self.put(second, None)
        for expected in (first, ""):
            with pytest.raises(PlatformError) as caught:
                self.put(self.text(3), expected)
            assert caught.value.kind == "conflict"
        assert self.read() == second

    def test_a_long_address_comes_back_whole(self) -> None:
        """More than one string of a record holds; a service that cannot do that says so before it changes anything."""
        long = self.text(1, more="/" + "x" * (self.longest - 200))
        if self.longest > rules.LONGEST:
            self.put(long, None)
            assert self.read() == long
        too_long = self.text(1, more="/" + "x" * rules.LONGEST)
        if self.longest <= rules.LONGEST:
            with pytest.raises(BadInput, match="more than the 255"):
                self.put(too_long, None)
            assert self.read() is None

    def test_a_wrong_credential_is_said(self) -> None:
        """In one sentence that does not hold it; nothing is changed."""
        self.put(self.text(1), None)
        self.spoil(forget=False)
        with pytest.raises(PlatformError) as caught:
            self.put(self.text(2), None)
        assert caught.value.kind in ("unauthorized", "forbidden")
        assert caught.value.todo
        assert "spoiled" not in str(caught.value)

    def test_a_credential_that_is_missing_is_named(self) -> None:
        """By what it is called in the home."""
        self.spoil(forget=True)
        with pytest.raises(NotFound, match="there is no token"):
            self.put(self.text(1), None)

    def test_a_service_that_is_away_is_said(self) -> None:
        """As something that may be tried again."""
        self.away()
        with pytest.raises(PlatformError) as caught:
            self.put(self.text(1), None)
        assert caught.value.kind == "unreachable"
        assert not caught.value.permanent

    def test_a_name_that_is_not_there_is_said(self) -> None:
        """Before or after asking, in one sentence with its name."""
        with pytest.raises(QCityError) as caught:
            self._publisher().publish(self.strange(), self.text(1), expected=None, home=self.home())
        assert isinstance(caught.value, (PlatformError, BadInput))
        assert self.strange().name.split(".")[0] in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "options"), [("no name", {}), ("a..example.org", {}), ("", {"colour": "red"}), ("", {"lease": "1"}), ("", {"ttl": "x"})]
    )
    def test_what_cannot_be_meant_is_bad_input(self, name: str, options: dict[str, str]) -> None:
        """A name that is none, an option that there is not, a lease and a TTL that make no sense: without asking anybody."""
        good = self.pointer()
        bad = Pointer(kind=good.kind, name=name or good.name, options={**good.options, **options})
        with pytest.raises(BadInput):
            self._publisher().check(bad)

    def test_an_address_is_carried_renewed_and_ended(self) -> None:
        """By `carry`: a renewal keeps since when it is live, the end is a lease that is over at once, with the last address."""
        pointer, home = self.pointer(), self.home()
        first = carry(pointer, tunnel="app", url="https://a1.example", generation=1, home=home, last=None, now=NOW)
        assert (first.ok, first.changed, first.generation) == (True, 1, 1), first
        renewed = carry(pointer, tunnel="app", url="https://a1.example", generation=1, home=home, last=first, now=NOW + 100 * SECOND)
        ended = carry(pointer, tunnel="app", url="", generation=1, home=home, last=renewed, now=NOW + 150 * SECOND)
        assert renewed.ok
        assert ended.ok
        assert self.read() == ended.address
        posts = [rules.parse(one.address) for one in (first, renewed, ended)]
        assert [post.since for post in posts] == [NOW] * 3
        assert [post.until for post in posts] == [NOW + 300 * SECOND, NOW + 400 * SECOND, NOW + 150 * SECOND]
        assert posts[2].url == "https://a1.example"

    def test_a_runner_whose_answer_was_lost_goes_on(self) -> None:
        """What is there is its own word, though not the one that it remembers."""
        pointer, home = self.pointer(), self.home()
        first = carry(pointer, tunnel="app", url="https://a1.example", generation=1, home=home, last=None, now=NOW)
        self.put(self.text(2), first.address)
        done = carry(pointer, tunnel="app", url="https://a3.example", generation=3, home=home, last=first, now=NOW)
        assert done.ok, done

    def test_the_name_of_a_live_stranger_is_left_alone(self) -> None:
        """Until its lease is over; then it is anybody's."""
        stranger = Home(self.home().root / "stranger")
        self.put(self.text(9, home=stranger), None)
        mine = {"tunnel": "app", "url": "https://a1.example", "generation": 1, "home": self.home(), "last": None}
        refused = carry(self.pointer(), **mine, now=NOW)  # type: ignore[arg-type]
        assert not refused.ok
        assert "another key is live there until 12:05:00 UTC" in refused.text
        assert refused.todo
        assert carry(self.pointer(), **mine, now=NOW + 301 * SECOND).ok  # type: ignore[arg-type]


class RecordsContract(DnsContract):
    """What kinds promise that can also point names: `app` of the zone is an A record with 192.0.2.1."""

    name = "app.example.org"

    def point(self, value: str, expected: str | None, *, guard: str = "") -> str:
        """Point it."""
        change = Change(name=self.name, kind="A", value=value, expected=expected, guard=guard)
        return records(self.pointer().kind).point(self.pointer(), change, home=self.home())

    def record(self) -> str | None:
        """Where it points."""
        return records(self.pointer().kind).record(self.pointer(), self.name, "A", home=self.home())

    def test_a_name_is_pointed_elsewhere_and_back(self) -> None:
        """As long as it is as expected."""
        assert self.record() == "192.0.2.1"
        self.point("192.0.2.2", "192.0.2.1")
        assert self.record() == "192.0.2.2"
        with pytest.raises(PlatformError) as caught:
            self.point("192.0.2.3", "192.0.2.1")
        assert caught.value.kind == "conflict"
        assert "192.0.2.2" in caught.value.what
        self.point("192.0.2.1", None)
        assert self.record() == "192.0.2.1"

    def test_a_runner_that_came_back_wins(self) -> None:
        """Its pointer is another one than the watcher saw, so the watcher's change is none."""
        lapsed, back = self.text(1), self.text(2)
        self.put(lapsed, None)
        self.put(back, lapsed)
        with pytest.raises(PlatformError) as caught:
            self.point("192.0.2.9", "192.0.2.1", guard=lapsed)
        assert caught.value.kind == "conflict"
        assert self.record() == "192.0.2.1"
        self.point("192.0.2.9", "192.0.2.1", guard=back)
        assert self.record() == "192.0.2.9"

    @pytest.mark.parametrize(("kind", "value"), [("A", "::1"), ("AAAA", "192.0.2.1"), ("MX", "10 mail"), ("CNAME", "no name"), ("A", "x")])
    def test_a_value_that_is_none_is_bad_input(self, kind: str, value: str) -> None:
        """Nobody is asked."""
        change = Change(name=self.name, kind=kind, value=value)
        with pytest.raises(BadInput):
            records(self.pointer().kind).point(self.pointer(), change, home=self.home())
