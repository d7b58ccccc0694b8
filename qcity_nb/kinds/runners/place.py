"""The kind `place`: keeps an engine up at another place, the best of those that are named. As a runner's `fallback` it takes the work elsewhere.

The places are looked at in its own process: policy, health, budget, start time, price. One that is up already is preferred.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec

from ...decide import tenure
from ...decide.places import failing
from ...decide.redact import redact
from ...errors import BadInput, PlaceError, QCityError
from ...io import secrets
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import SHARED_STORE, Running
from ...model.service import Exit, ServiceSpec
from ...ports import Launch, Place
from ..places import open_place, parcel

VARIABLE = "QCITY_PLACES"
GRACE = timedelta(minutes=2)
POLL = float(os.environ.get("QCITY_PLACE_POLL", "60"))
"""Seconds between two looks at the engine there; tests look faster."""
ALIVE = (Running.UP, Running.STARTING)


class PlaceRunner:
    """Options: `places`, a list of places as `PlaceConfig` has them. No secret is among them."""

    takes_jobs = False
    speaks = False
    beats = False
    attended = False

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """What keeps something up never ends as it should."""
        return ""

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification, its places checked.

        Raises:
            BadInput: there is none, or one cannot be meant.
        """
        if unknown := sorted(set(spec.options) - {"places"}):
            raise BadInput(f'the kind place has no option "{unknown[0]}"', "It has: places")
        for config in _configs(spec.options.get("places"), spec.name):
            open_place(config, home=Home(Path(os.devnull)))
        return replace(spec, grace=max(spec.grace, GRACE))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """Our own process; what the places need of credentials lies below the home."""
        env = {**os.environ, VARIABLE: json.dumps(spec.options["places"]), "PYTHONUNBUFFERED": "1"}
        return Launch(argv=(sys.executable, "-m", __name__, str(home.root), spec.name), env=env, cwd=home.service(spec.name))


KIND = PlaceRunner()


class Elsewhere:
    """The engine that is kept up elsewhere.

    Args:
        home: of this place.
        configs: the places it may be at.
    """

    def __init__(self, home: Home, configs: Sequence[PlaceConfig]) -> None:
        self._home, self._configs = home, {config.name: config for config in configs}
        self._places: dict[str, Place] = {config.name: open_place(config, home=home) for config in configs}
        self._over = threading.Event()
        self.at = ""

    def end(self, *_: object) -> None:
        """Come to an end soon."""
        self._over.set()

    def run(self) -> None:
        """Keep it up until the end, then end it there. Raises `QCityError` when no place will do."""
        try:
            while not self._over.is_set():
                self._keep_up()
                self._over.wait(POLL)
        finally:
            if self.at and self._over.is_set():
                say(self._places[self.at].stop().sentence)

    def _keep_up(self) -> None:
        if self.at and self._places[self.at].status().running in ALIVE:
            say(f"{self.at}: its engine is up.")
            return
        self.at = ""
        reports = [place.check() for place in self._places.values()]
        refused, ill = failing(reports)
        for name, why in {**refused, **ill}.items():
            say(f"{name}: {why}")
        order = [one.place for one in tenure.order(tenure.candidates(list(self._configs.values()), refused=refused, ill=ill)) if one.healthy]
        store = secrets.load(self._home, SHARED_STORE) if secrets.has(self._home, SHARED_STORE) else ""
        up = [name for name in order if self._places[name].status().running in ALIVE]
        for name in [*up, *order]:
            try:
                self.at = name  # from here on there may be something to end
                say(self._places[name].start(parcel.pack(self._configs[name], home=self._home, store=store)).sentence)
                return
            except QCityError as error:
                say(f"{name}: {error}")
        raise PlaceError("no place takes the work", "qcity place check NAME says what each needs")


def say(text: str) -> None:
    """One line in the service's log."""
    sys.stdout.write(f"{redact(text)}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the service."""
    configs = _configs(json.loads(os.environ[VARIABLE]), sys.argv[2])
    elsewhere = Elsewhere(Home(Path(sys.argv[1])), configs)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, elsewhere.end)
    try:
        elsewhere.run()
    except QCityError as error:
        say(str(error))
        return error.exit_code
    return 0


def _configs(given: object, name: str) -> list[PlaceConfig]:
    try:
        found = msgspec.convert(given or [], list[PlaceConfig], strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"a place of {name} cannot be used ({error})", "qcity place list shows the ones there are") from None
    if not found:
        raise BadInput(f"{name} needs a place", "qcity place add NAME KIND notes one, then qcity runner start place NAME")
    return found


if __name__ == "__main__":
    sys.exit(main())
