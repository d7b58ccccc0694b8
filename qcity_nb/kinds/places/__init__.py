"""Places that work can go to: this machine, another one of the same store, a host over SSH, a fresh Colab, a Hugging Face job.

`open_place` turns a configuration into a place. Everything here is slow and runs in a process of its own (`python -m qcity_nb.kinds.places`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ...decide.places import known_name
from ...decide.wording import did_you_mean
from ...errors import BadInput, NotFound
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Sighting
from ...ports import Place
from .. import KINDS, load


@dataclass(frozen=True, kw_only=True)
class _Notes:
    added: dict[str, PlaceConfig] = field(default_factory=dict)


def noted(name: str, *, home: Home) -> PlaceConfig:
    """The place that somebody added under this name (`qcity place add`).

    Raises:
        NotFound: nobody did.
    """
    try:
        notes = msgspec.json.decode((home.root / "places.json").read_bytes(), type=_Notes)
    except (OSError, msgspec.DecodeError):
        notes = _Notes()
    if name not in notes.added:
        todo = did_you_mean(name, notes.added, what="place", none=f"qcity place add {name} KIND notes one")
        raise NotFound(f'there is no place "{name}" that was added here', todo)
    return notes.added[name]


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
