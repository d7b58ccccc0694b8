"""The contract suite of `ports.Place`: every kind of place passes it, and one of your own does when you subclass it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import pytest

from ..errors import BadInput, PlaceError, PlatformError, QCityError, Refused
from ..kinds.places import open_place
from ..model.fleet import PlaceConfig
from ..model.home import Home
from ..model.place import Parcel, Running, Sighting
from ..ports import Place


class PlaceContract:
    """What every kind of place promises. `starts`: an engine can be started there from here; else that is refused with the way to do it."""

    starts = True

    @abstractmethod
    def good(self) -> PlaceConfig:
        """A place at which an engine can start; for a kind that starts none, one whose engine is up."""

    @abstractmethod
    def unreachable(self) -> PlaceConfig | None:
        """A place that cannot be reached now; None where that cannot be."""

    @abstractmethod
    def parcel(self) -> Parcel:
        """What is brought there."""

    @abstractmethod
    def home(self) -> Home:
        """The home of whoever asks."""

    def sightings(self) -> tuple[Sighting, ...]:
        """What a shared store says."""
        return ()

    def open(self, config: PlaceConfig) -> Place:
        """The place, as the next process has it."""
        return open_place(config, home=self.home(), sightings=self.sightings())

    def engines(self) -> int | None:
        """How many engines are there now, counted from outside; None where nobody can."""
        return None

    def test_an_option_that_it_does_not_know_is_a_sentence(self) -> None:
        """Named, with the way out."""
        good = self.good()
        with pytest.raises(BadInput) as caught:
            self.open(replace(good, options={**good.options, "no_such_option": "1"}))
        assert "no_such_option" in caught.value.what
        assert good.name in caught.value.what
        assert caught.value.todo

    def test_a_good_place_is_said_to_be_ready(self) -> None:
        """With nothing missing, and looking twice finds the same."""
        report = self.open(self.good()).check()
        assert report.ready, report
        assert report.why.endswith(".")
        assert (report.place, report.kind) == (self.good().name, self.good().kind)
        assert replace(self.open(self.good()).check(), disk=report.disk, why=report.why) == report

    def test_a_place_out_of_reach_is_reported_not_raised(self) -> None:
        """By `check`; starting there is an error that says the same."""
        config = self.unreachable()
        if config is None:
            pytest.skip("it cannot be out of reach")
        report = self.open(config).check()
        assert not report.healthy
        assert report.why
        assert report.todo
        with pytest.raises((PlaceError, PlatformError, Refused)) as caught:
            self.open(config).start(self.parcel())
        assert caught.value.todo

    def test_it_starts_once_is_asked_and_stops(self) -> None:
        """A second start finds what is up; a second stop finds nothing to do; each call is made by a process that knows nothing of the last."""
        if not self.starts:
            self._refuses()
            return
        first = self.open(self.good()).start(self.parcel())
        assert first.running in (Running.UP, Running.STARTING), first
        again = self.open(self.good()).start(self.parcel())
        assert again.running in (Running.UP, Running.STARTING), again
        assert again.generation == first.generation
        assert self.engines() in (1, None)
        assert self.open(self.good()).status().running in (Running.UP, Running.STARTING)
        for _ in range(2):
            state = self.open(self.good()).stop()
            assert state.running in (Running.DOWN, Running.ABSENT), state
            assert state.sentence
        assert self.engines() in (0, None)

    def test_no_secret_is_shown(self, tmp_path: Path) -> None:
        """Neither by a parcel nor by what a place says of itself."""
        parcel = replace(self.parcel(), store="postgresql://u:hush-hush@h/d", credentials={"forge": "hush-hush"})
        assert "hush" not in repr(parcel)
        assert "hush" not in repr(self.open(self.good()).check())

    def _refuses(self) -> None:
        place = self.open(self.good())
        assert place.start(self.parcel()).running is Running.UP  # what is up stays as it is
        with pytest.raises(QCityError) as caught:
            place.stop()
        assert caught.value.todo
