"""A fresh Colab through Google's own `colab` command (google-colab-cli). Only for paid accounts, for a bounded time, in a cell that visibly executes.

Free Colab forbids runners, so it is refused: the balance of compute units is asked first. Nothing here pings, clicks or pretends to be a person.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from ...decide import colab, places, remote
from ...decide.remote import Said
from ...decide.wording import sentence
from ...errors import BadInput, MissingTool, PlaceError, Refused
from ...model.fleet import PlaceConfig
from ...model.home import Home
from ...model.place import Parcel, PlaceReport, PlaceState, Ruling, Running, Sighting, Tier, Venue
from .google import Cli, Holder
from .hosted import OPTIONS, Heard, Hosted

HOURS = 6.0


class Colab:
    """A Colab session of our own, as `ports.Place`."""

    holds = False

    def __init__(self, config: PlaceConfig, *, home: Home) -> None:
        self.config, self._cli = config, Cli(config.name, f"qcity-{config.name}")
        self._tier, self._holder = places.tier_of(config.options), Holder(self._cli, home.root / "places")
        places.bounded(Ruling(hours=places.COLAB_HOURS), config.options, default=HOURS)
        self._host = Hosted(config, self._cli, remote.site(f"/content/.qcity/{config.name}"), Ruling())

    def check(self) -> PlaceReport:
        """The account's balance decides what is allowed; a machine is not taken for a look."""
        report = PlaceReport(place=self.config.name, kind=self.config.kind)
        if self._tier is Tier.FREE:
            return _refused(report, places.policy(Venue.COLAB, Tier.FREE))
        try:
            said = self._cli.call("usage")
        except (MissingTool, PlaceError) as error:
            return replace(report, reachable=False, why=sentence(error.what), todo=error.todo)
        balance = colab.balance(said.out)
        if said.code or balance is None:
            why = sentence(f"Google's colab command does not say what the account may do: {said.last}")
            return replace(report, reachable=False, why=why, todo="Run colab usage in a terminal: it may want you to sign in")
        ruling = places.policy(Venue.COLAB, Tier.PAID if balance > 0 else Tier.FREE)
        if not ruling.allowed:
            return _refused(report, ruling)
        hours = places.bounded(ruling, self.config.options, default=HOURS)
        why = f"Colab has {balance:g} compute units; {self.config.name} would end after {hours:g} hours at the latest."
        return replace(report, why=why, todo="", hours=hours)

    def start(self, parcel: Parcel) -> PlaceState:
        """A new session with the engine in it, held by a cell; a machine that nothing came of is given back."""
        report = self.check()
        if not report.ready:
            raise (PlaceError if report.allowed else Refused)(report.why, report.todo)
        state = self.status()
        if state.running is Running.UP:
            return state
        if state.running is Running.ABSENT:
            self._new(self._cli)
        try:
            up = self._host.start(parcel)
            seconds = (report.hours or HOURS) * 3600
            until = datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() + seconds, timezone.utc).replace(microsecond=0)
            self._holder.begin(colab.holding(self._host.site, seconds, until.isoformat()), seconds)
            return replace(up, until=until)
        except BaseException:
            with contextlib.suppress(MissingTool, PlaceError):
                self._cli.call("stop", "-s", self._cli.session)
            self._holder.end()
            raise

    def execute(self, parcel: Parcel, data: bytes, heard: Heard, over: threading.Event) -> Said:
        """In a session of its own, which is given back whatever comes of it. See `hosted.Executes`."""
        report = self.check()
        if not report.ready:
            raise (PlaceError if report.allowed else Refused)(report.why, report.todo)
        cli = Cli(self.config.name, f"{self._cli.session}-{uuid.uuid4().hex[:8]}", seconds=(report.hours or HOURS) * 3600)
        self._new(cli)
        try:
            return Hosted(self.config, cli, self._host.site, Ruling()).execute(parcel, data, heard, over)
        finally:
            with contextlib.suppress(MissingTool, PlaceError):
                cli.call("stop", "-s", cli.session)

    def _new(self, cli: Cli) -> None:
        gpu = ("--gpu", self.config.options["gpu"]) if self.config.options.get("gpu") else ()
        said = cli.call("new", "-s", cli.session, *gpu, seconds=300.0)
        if said.code:
            raise PlaceError(f"Colab gave no machine to {self.config.name}: {said.last}", "Try again later, or another place")

    def status(self) -> PlaceState:
        """What the session's holding cell said last, if it still executes: a busy kernel cannot be asked anything else."""
        said, name, kind = self._cli.call("status", "-s", self._cli.session), self.config.name, self.config.kind
        if said.code:
            what = f"Google's colab command cannot tell how {name} is: {said.last}"
            raise PlaceError(what, "Run colab sessions in a terminal: it may want you to sign in")
        if f"[{self._cli.session}]" not in said.out:
            return PlaceState(place=name, kind=kind, running=Running.ABSENT, sentence=f"Colab has no session for {name}.")
        told = self._holder.told()
        if "Status: BUSY" not in said.out or told is None:
            text = f"The Colab session of {name} is there, but nothing holds an engine in it: qcity place stop {name} gives it back."
            return PlaceState(place=name, kind=kind, running=Running.DOWN, sentence=text)
        state = remote.state(self.config, Said(code=told.code, out=told.out))
        return replace(state, until=datetime.fromisoformat(told.more))

    def stop(self) -> PlaceState:
        """End the session; the machine is given back."""
        said = self._cli.call("stop", "-s", self._cli.session)
        if said.code:
            raise PlaceError(f"the Colab {self.config.name} could not be given back: {said.last}", "colab sessions shows what still costs units")
        self._holder.end()
        return self.status()


def _refused(report: PlaceReport, ruling: Ruling) -> PlaceReport:
    return replace(report, allowed=False, why=sentence(f"{report.place} may not be used: {ruling.why}"), todo=ruling.todo)


class ColabKind:
    """Places of the kind `colab`."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Colab:
        """A session called `qcity-NAME`."""
        places.known_options(config, ("gpu", "tier", "hours", *(name for name in OPTIONS if name not in ("folder", "python"))))
        if config.options.get("gpu", "").startswith("-"):
            raise BadInput(f'"{config.options["gpu"]}" is no GPU (place {config.name})', 'Write gpu = "T4"')
        return Colab(config, home=home)


KIND = ColabKind()
