"""Opens a simulation as a place of its own: a client like any other, over an engine that plays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from ..client.city import QCity
from ..client.hosts import ProcessHost
from ..decide.wording import span
from ..errors import EngineError, HomeError, QCityError
from ..io.files import is_locked
from ..model.home import Home
from ..store import lease
from ..store.database import prepare, prepare_home
from ..ui.painter import PAINTER

HOST = "simulation"
"""What its engine says that it runs in."""
BEFORE = timedelta(minutes=20)
"""What is played at once."""
BEGIN_SECONDS = 60.0


def play(folder: str | Path, *, say: Callable[[str], None]) -> QCity:
    """The simulation in a folder: the one that plays there, else a new one in its place.

    Raises:
        HomeError: the folder holds something that is no simulation.
        EngineError: it does not begin.
    """
    home = Home(Path(folder).expanduser().absolute())
    if not is_locked(home.lock):
        _clear(home)
    store, _ = prepare(prepare_home(home.root), None)  # never the store of a fleet
    city = QCity(store, ProcessHost(store, "qcity_nb.demo.theatre"), say=say, painter=PAINTER)
    try:
        city.link.ensure()
        for _ in city.link.until(BEGIN_SECONDS):
            if len(city.runners) and (beats := city.health.share()) is not None and beats > 0 and _caught_up(city):
                break
        else:
            raise EngineError(f"the simulation in {home.root} has not begun in {BEGIN_SECONDS:.0f} s", f"Look into {home.log}", permanent=False)
    except QCityError:
        city.close()
        raise
    say(f"This is a simulation in {home.root}: what you see was played in {span(BEFORE)} of its time, and goes on. Nothing in it is real.")
    return city


def _caught_up(city: QCity) -> bool:
    """Whether what was before is over: its engine's lease is of now."""
    view = city.status().view
    return view.engine.last is not None and (view.at - view.engine.last).total_seconds() < 30


def _clear(home: Home) -> None:
    """Take away a simulation that is over. Raises `HomeError` when it is no simulation."""
    if not home.root.exists():
        return
    if home.store.exists():
        store, _ = prepare(prepare_home(home.root), None)
        try:
            with store.read() as connection:
                last = lease.current(connection, store.place)
        finally:
            store.close()
        mine = last is not None and last.host == HOST
    else:
        mine = not any(home.root.iterdir())
    if not mine:
        raise HomeError(f"{home.root} holds something that is no simulation", "Name another folder: qcity_nb.simulate(FOLDER)")
    shutil.rmtree(home.root, ignore_errors=True)
