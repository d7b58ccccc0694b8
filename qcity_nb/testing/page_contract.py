"""The contract suite of `ports.PageKind`: subclass it, give it a host for pages, and pytest runs it."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta, timezone

import pytest

from ..decide import pointer as rules
from ..decide.page import FILE, JSON_FILE, LIMIT
from ..errors import BadInput, QCityError
from ..kinds import load
from ..kinds.followers import carry
from ..model.home import Home
from ..model.tunnel import Page
from ..ports import PageKind

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)


class PageContract:
    """What every host of fallback pages promises."""

    @abstractmethod
    def page(self) -> Page:
        """A target that may be written."""

    @abstractmethod
    def home(self) -> Home:
        """A home with the credential for it, if it needs one; the same at each call."""

    @abstractmethod
    def shown(self) -> dict[str, bytes]:
        """What is there now, name -> content, other files included."""

    @abstractmethod
    def changes(self) -> int:
        """How often anything was changed there."""

    @abstractmethod
    def away(self) -> None:
        """Make it impossible to publish."""

    def put(self, files: dict[str, bytes]) -> str:
        """Publish them."""
        kind: PageKind = load("pages", self.page().kind)
        return kind.publish(self.page(), files, home=self.home())

    def test_files_are_shown_and_replaced(self) -> None:
        """All of them, at once where the host can, and what else lies there stays."""
        others = self.shown()
        self.put({FILE: b"<p>one", JSON_FILE: b"{}"})
        assert self.shown() == {**others, FILE: b"<p>one", JSON_FILE: b"{}"}
        said = self.put({FILE: b"<p>two", JSON_FILE: b"{}"})
        assert self.shown() == {**others, FILE: b"<p>two", JSON_FILE: b"{}"}
        assert said.startswith("the page is ")

    def test_what_is_the_same_is_left_alone(self) -> None:
        """No commit, no new file, and it is said."""
        self.put({FILE: b"<p>one"})
        before = self.changes()
        assert "unchanged" in self.put({FILE: b"<p>one"})
        assert self.changes() == before

    def test_a_host_that_is_away_is_said(self) -> None:
        """In one sentence, with what to do."""
        self.away()
        with pytest.raises(QCityError) as caught:
            self.put({FILE: b"<p>one"})
        assert caught.value.todo
        assert "\n" not in caught.value.what

    def test_an_option_that_there_is_not_is_bad_input(self) -> None:
        """And what there is is listed."""
        good = self.page()
        with pytest.raises(BadInput, match="has no option"):
            load("pages", good.kind).check(Page(kind=good.kind, target=good.target, options={**good.options, "colour": "red"}))

    def test_an_address_is_carried_there_renewed_and_ended(self) -> None:
        """As a page with its last state and a pointer that says the same as the DNS would."""
        page, home = self.page(), self.home()
        first = carry(page, tunnel="app", url="https://a1.example", generation=1, home=home, last=None, now=NOW)
        assert (first.ok, first.changed) == (True, 1), first
        shown = self.shown()
        assert rules.from_json(shown[JSON_FILE]) == first.address
        assert b"https://a1.example" in shown[FILE]
        assert len(shown[FILE]) <= LIMIT
        assert f"This page is {len(shown[FILE])} bytes".encode() in shown[FILE]
        later = NOW + timedelta(seconds=90)
        ended = carry(page, tunnel="app", url="", generation=1, home=home, last=first, now=later)
        assert ended.ok, ended
        assert rules.parse(rules.from_json(self.shown()[JSON_FILE])).until == later
        assert b"Offline since" in self.shown()[FILE]

    def test_a_tunnel_that_never_had_an_address_has_a_page_too(self) -> None:
        """Which says so, and has no pointer beside it."""
        done = carry(self.page(), tunnel="app", url="", generation=0, home=self.home(), last=None, now=NOW)
        assert done.ok, done
        assert b"It was never seen" in self.shown()[FILE]
        assert JSON_FILE not in self.shown()

    def test_what_cannot_be_carried_is_told_and_not_raised(self) -> None:
        """With the last address kept."""
        page, home = self.page(), self.home()
        first = carry(page, tunnel="app", url="https://a1.example", generation=1, home=home, last=None, now=NOW)
        self.away()
        failed = carry(page, tunnel="app", url="https://a2.example", generation=2, home=home, last=first, now=NOW)
        assert (failed.ok, failed.address, failed.generation, failed.changed) == (False, first.address, 1, 0)
        assert failed.text
        assert failed.todo
