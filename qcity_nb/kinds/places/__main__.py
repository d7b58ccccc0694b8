"""`python -m qcity_nb.kinds.places`: one act on one place, asked on standard input and answered on standard output, both JSON.

A process of its own, because all of this takes seconds or minutes, and because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ...decide.redact import redact
from ...decide.wording import sentence
from ...errors import PlaceError, advice
from ...model.home import Home
from ...model.place import PlaceAnswer, PlaceAsk
from .. import answers
from . import open_place, parcel


def answer(ask: PlaceAsk) -> PlaceAnswer:
    """Do what is asked; whatever fails is a sentence."""
    failed = f"{ask.config.name} could not be asked to {ask.verb}"
    return answers.given(lambda: _do(ask), PlaceAnswer, failed=failed, unforeseen=PlaceError)


def _do(ask: PlaceAsk) -> PlaceAnswer:
    home = Home(Path(ask.home))
    place = open_place(ask.config, home=home, sightings=ask.sightings)
    if ask.verb == "check":
        report = place.check()
        return PlaceAnswer(report=replace(report, why=redact(sentence(report.why)), todo=advice(redact(report.todo))))
    if ask.verb == "start":
        return PlaceAnswer(state=place.start(parcel.pack(ask.config, home=home, store=ask.store)))
    return PlaceAnswer(state=place.stop() if ask.verb == "stop" else place.status())


if __name__ == "__main__":
    sys.exit(answers.main(PlaceAsk, answer))
