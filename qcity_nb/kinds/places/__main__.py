"""`python -m qcity_nb.kinds.places`: one act on one place, asked on standard input and answered on standard output, both JSON.

A process of its own, because all of this takes seconds or minutes, and because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from pathlib import Path

import msgspec

from ...decide.redact import redact
from ...decide.wording import line, sentence
from ...errors import QCityError, advice
from ...model.home import Home
from ...model.place import PlaceAnswer, PlaceAsk
from . import open_place, parcel


def answer(ask: PlaceAsk) -> PlaceAnswer:
    """Do what is asked; whatever fails is a sentence."""
    try:
        return _do(ask)
    except QCityError as error:
        return PlaceAnswer(error=type(error).__name__, what=redact(error.what), todo=redact(error.todo))
    except Exception as error:  # noqa: BLE001 - the process's one catch-all: what nobody foresaw is told, and recorded on standard error
        traceback.print_exc()
        text = line(redact(f"{type(error).__name__}: {error}"))
        what = f"{ask.config.name} could not be asked to {ask.verb} ({text})"
        return PlaceAnswer(error="PlaceError", what=what, todo="This is a mistake in qcity: report it")


def _do(ask: PlaceAsk) -> PlaceAnswer:
    home = Home(Path(ask.home))
    place = open_place(ask.config, home=home, sightings=ask.sightings)
    if ask.verb == "check":
        report = place.check()
        return PlaceAnswer(report=replace(report, why=redact(sentence(report.why)), todo=advice(redact(report.todo))))
    if ask.verb == "start":
        return PlaceAnswer(state=place.start(parcel.pack(ask.config, home=home, store=ask.store)))
    return PlaceAnswer(state=place.stop() if ask.verb == "stop" else place.status())


def main() -> int:
    """One question, one answer."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=PlaceAsk)
    sys.stdout.buffer.write(msgspec.json.encode(answer(ask)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
