"""What a cell that keeps work alive looks at and does: through the store and commands like every client, so that its end ends nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..decide import life as rules
from ..decide import places
from ..decide.health import Level
from ..decide.life import Life, Seen
from ..errors import BadInput, QCityError
from ..io import machine
from ..io.files import is_locked
from ..model.place import Tier, Venue
from ..model.service import Desired
from .link import now
from .view import look

if TYPE_CHECKING:
    from .city import QCity

TIER = "QCITY_TIER"
NOT_WORK = ("place", "foreign")


def here() -> tuple[Venue, Tier]:
    """Where this process is, and whether that is paid for, as a person says in QCITY_TIER. Raises `BadInput` for a tier that is none."""
    venue = places.detect(os.environ, paths=machine.telling(), kernel="ipykernel" in sys.modules)
    return venue, places.tier_of({"tier": os.environ.get(TIER) or "unknown"})


class Watch:
    """One place that is kept alive.

    Args:
        hours, limit, margin: as `decide.life.planned` takes them; margin in minutes.
        checkpoint: the vault that is written at the end; empty means all of them.
        fallback: where the work goes: a runner of the kind `place`, or a place that was added. Empty means the fallbacks of the runners here.

    Raises:
        Refused: the terms of this machine forbid it.
        NotFound: there is no such vault, runner or place.
    """

    def __init__(self, city: QCity, *, hours: float, limit: float | None, margin: float, checkpoint: str, fallback: str) -> None:
        venue, tier = here()
        self._city, self.at = city, now()
        self.life: Life = rules.planned(
            venue, tier, born=machine.born(), now=self.at, hours=hours, limit=limit, margin=timedelta(minutes=margin)
        )
        self._vaults = [city.vaults[checkpoint].config.name] if checkpoint else [vault.config.name for vault in city.vaults]
        if fallback and fallback not in city.runners:
            city.runners.start("place", fallback, places=[fallback], begin=False)
        if fallback and city.runners[fallback].row.spec.kind != "place":
            raise BadInput(f"{fallback} is no place but a runner on this machine", "Name a place, or a runner of the kind place")
        self._fallback, self._goes = fallback, ""
        self.handed = False
        self._quiet: datetime | None = None

    def look(self) -> Seen:
        """How it is now; an engine that died is started again."""
        link = self._city.link
        link.ensure()
        self.at = now()
        view = look(link.store, uptime=False)
        vault = self._city.vaults.condition()
        busy = view.work.running + view.work.queued + view.notebooks.running + view.notebooks.waiting
        up = [name for name, one in view.runners.items() if one.row.state.desired is Desired.UP and one.row.spec.kind not in NOT_WORK]
        busy += sum(view.runners[name].row.state.busy > 0 for name in up) if not view.work.running else 0
        self._goes = rules.leads_to(self._names(), [claim.next for claim in self._city.fleet.status().claims if claim.mine or self.handed])
        self._quiet = None if busy else self._quiet or self.at
        return Seen(
            runners=tuple(up),
            engine=is_locked(link.store.home.lock),
            busy=busy,
            vaults=len(self._vaults),
            saved=self._city.vaults.saved,
            vault=vault.text if vault is not None and vault.level is not Level.WELL else "",
            goes=self._goes,
        )

    def over(self, *, until_idle: bool) -> str:
        """Why it ends now; empty while it goes on."""
        return rules.over(self.life, self.at, quiet=self._quiet, until_idle=until_idle)

    @property
    def due(self) -> bool:
        """Whether the work is to go now. Where nobody takes it, it stays: the next machine goes on from the last copy."""
        return bool(self._goes) and not self.handed and self.life.hands is not None and self.at >= self.life.hands

    def hand_over(self) -> str:
        """Let the work go: saved, started there, and nothing new here; what is wrong with it, empty when nothing.

        A claim is given back by its runner's end, and the place that is next takes it.
        """
        self.handed = True
        wrong = [self.save()]
        up = [runner for runner in self._city.runners if runner.row.state.desired is Desired.UP]
        going = [runner for runner in up if runner.row.spec.kind not in NOT_WORK]
        for name in self._fallbacks():
            wrong.append(_tried(self._city.link.ask, "runner.start", name, self._city.runners[name].asked()))
        for runner in going:
            wrong.append(_tried(self._city.link.ask, "runner.drain", runner.name))
        return " ".join(filter(None, wrong))

    def save(self) -> str:
        """Put a copy into the vaults; what is wrong with it, empty when nothing."""
        return " ".join(filter(None, (_tried(self._city.vaults.save, name) for name in self._vaults)))

    def give_back(self) -> str:
        """Give a Colab machine back, so that it costs nothing more; why that cannot be done, empty when it was."""
        if self.life.venue is not Venue.COLAB:
            return f"Only Colab's machines are given back from a cell; this is {self.life.venue.value}."
        try:
            from google.colab import runtime  # type: ignore[import-not-found]  # there is no stub of Colab's
        except ImportError:
            return "This machine cannot be given back from here: google.colab cannot be imported."
        runtime.unassign()
        return ""

    def _fallbacks(self) -> list[str]:
        if self._fallback:
            return [self._fallback]
        wanted = {runner.row.spec.fallback for runner in self._city.runners if runner.row.spec.fallback}
        return [name for name in sorted(wanted) if name in self._city.runners and self._city.runners[name].row.spec.kind == "place"]

    def _names(self) -> list[str]:
        """The places that the fallbacks lead to."""
        found: list[str] = []
        for name in self._fallbacks():
            given = self._city.runners[name].row.spec.options.get("places")
            found += [str(one.get("name")) for one in given if isinstance(one, dict)] if isinstance(given, (list, tuple)) else []
        return found


def _tried(act: Callable[..., object], *args: object) -> str:
    """Do it; what went wrong as a sentence. One thing that fails must not keep the others from being done."""
    try:
        act(*args)
    except QCityError as error:
        return str(error)
    return ""
