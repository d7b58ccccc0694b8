"""Another machine that shares the store: nothing is sent there, what its engine wrote about itself is read. Whoever is there starts and stops it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ...decide import places
from ...decide.wording import span
from ...errors import Refused
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Parcel, PlaceReport, PlaceState, Running, Sighting

ALIVE = timedelta(seconds=30)
"""An engine signs every five seconds; the clocks of two machines may differ by some more."""


class Shared:
    """One other place of the store, found by the id of its home or by the name of its machine."""

    def __init__(self, config: PlaceConfig, sightings: Sequence[Sighting]) -> None:
        self.config = config
        self._wanted = config.options.get("place") or config.options.get("machine") or config.name
        fits = [one for one in sightings if self._wanted in (one.place, one.machine)]
        self._seen = min(fits, key=lambda one: (one.released, one.age), default=None)

    def check(self) -> PlaceReport:
        """Whether its engine signs in the store."""
        state = self.status()
        up = state.running is Running.UP
        todo = "" if up else f"Start it there: qcity up, with the same QCITY_STORE (or name the machine: machine = …, it is {self._wanted} now)"
        why = state.sentence
        return PlaceReport(place=self.config.name, kind=self.config.kind, reachable=up, why=why, todo=todo)

    def start(self, parcel: Parcel) -> PlaceState:
        """Nothing to do for one that is up; the others have to be started where they are."""
        state = self.status()
        if state.running is not Running.UP:
            raise Refused(f"{self.config.name} cannot be started from here: {state.sentence}", "Start it there: qcity up, with the same QCITY_STORE")
        return state

    def status(self) -> PlaceState:
        """As the store has it."""
        seen, name = self._seen, self.config.name
        if seen is None:
            text = f"The store knows no engine of {self._wanted}."
            return PlaceState(place=name, kind=self.config.kind, running=Running.ABSENT, sentence=text)
        age = timedelta(seconds=max(seen.age, 0.0))
        running = Running.DOWN if seen.released or age > ALIVE else Running.UP
        if seen.released:
            text = f"The engine on {seen.machine} ended on purpose {span(age)} ago."
        elif running is Running.UP:
            text = f"The engine on {seen.machine} runs (last sign {span(age)} ago)."
        else:
            text = f"The engine on {seen.machine} has given no sign of life for {span(age)}."
        return PlaceState(place=name, kind=self.config.kind, running=running, sentence=text, generation=seen.generation)

    def stop(self) -> PlaceState:
        """Only who is there ends it."""
        state = self.status()
        if state.running is Running.UP:
            raise Refused(f"{self.config.name} cannot be stopped from here", "Stop it there: qcity engine stop --runners")
        return state


class SharedKind:
    """Places of the kind `shared`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Shared:
        """The other place."""
        places.known_options(config, ("place", "machine"))
        return Shared(config, sightings)


KIND = SharedKind()
