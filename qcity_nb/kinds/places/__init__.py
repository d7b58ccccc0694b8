"""Places that work can go to: this machine, another one of the same store, a host over SSH, a fresh Colab, a Hugging Face job.

`open_place` turns a configuration into a place. Everything here is slow and runs in a process of its own (`python -m qcity_nb.kinds.places`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...decide.places import known_name
from ...errors import BadInput
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Sighting
from ...ports import Place
from .. import KINDS, load


def open_place(config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Place:
    """The place that a configuration means.

    Raises:
        BadInput: there is no such kind, or its name or its options cannot work.
    """
    known_name(config.name)
    if config.kind not in KINDS["places"]:
        raise BadInput(f'there is no kind "{config.kind}" of places (place {config.name})', f"There are: {', '.join(KINDS['places'])}")
    place: Place = load("places", config.kind).open(config, home=home, sightings=sightings)
    return place
