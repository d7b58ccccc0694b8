"""Notebooks at a place: this very package is brought there with what notebooks need, and executes them one by one; word comes back as it goes on."""

from __future__ import annotations

import threading
from dataclasses import replace

import msgspec

from ...decide.executors import INSTEAD
from ...decide.remote import SAYS
from ...errors import PlaceError, Refused
from ...model.home import Home
from ..places import noted, open_place, parcel
from ..places.hosted import Executes
from .control import Control
from .executors import Lost
from .far import Bundle, Piece, Result, Word, pass_on


class Elsewhere:
    """A place that somebody added, as an executor.

    Args:
        name: of the place.
        home: where it is noted.
    """

    room = 2

    def __init__(self, name: str, *, home: Home) -> None:
        self._home, self.name = home, name

    def run(self, bundle: Bundle, control: Control) -> Result:
        """Have it executed there. What was lost after it had begun is lost; what could not begin has failed, and the sentence says why."""
        config = noted(self.name, home=self._home)
        place = open_place(config, home=self._home)
        if not isinstance(place, Executes):
            raise Refused(f"{config.name} is a place of the kind {config.kind}, which executes no notebooks for others", INSTEAD)
        over, heard = threading.Event(), Heard(control)
        control.ready(over.set)
        try:
            data = msgspec.json.encode(replace(bundle, folder="", held=place.holds)) + b"\n"
            said = place.execute(parcel.pack(config, home=self._home), data, heard.take, over)
            if heard.result is None:
                raise PlaceError(f"what executed it on {self.name} ended without a result: {said.last}", f"qcity place check {self.name} looks at it")
            return heard.result
        except PlaceError as error:
            if heard.result is not None:
                return heard.result  # what went wrong after it matters to nobody
            if not heard.any:
                raise
            raise Lost(error.what, error.todo) from None
        finally:
            control.over()
            over.set()

    def close(self) -> None:
        """Nothing of it is kept."""


class Heard:
    """What came back."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._pieces: list[str] = []
        self.result: Result | None = None
        self.any = False

    def take(self, line: str) -> None:
        """A line: word of the run, its result, or what a shell says to everybody."""
        if not line.startswith(SAYS):
            return
        try:
            word = msgspec.json.decode(line[len(SAYS) :], type=Word)
        except msgspec.DecodeError:
            return
        self.any = True
        if isinstance(word, Piece):
            self._pieces.append(word.data)
        elif isinstance(word, Result):
            self.result = msgspec.structs.replace(word, artifacts=word.artifacts or "".join(self._pieces))
        else:
            pass_on(word, self._control)


