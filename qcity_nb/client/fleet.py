"""The fleet of a place: joining it, leaving it, and who holds what, as this place sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..decide import wording
from ..decide.wording import visible
from ..errors import NotFound
from ..io import secrets
from ..model.fleet import TERM, ClaimView, FleetConfig, PlaceConfig
from ..store import fleets
from .link import Link, now
from .tables import Shown, table

HUB = "huggingface"
HUB_TOKENS = ("QCITY_HF_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
HEAD = ("claim", "held by", "epoch", "here", "since", "last change seen", "store asked", "next", "trouble")


@dataclass(frozen=True)
class FleetStatus(Shown):
    """The fleet as this place sees it; `config` is None when it is in none."""

    config: FleetConfig | None
    claims: tuple[ClaimView, ...]
    at: datetime

    @property
    def healthy(self) -> bool:
        """Whether every claim is held by somebody and every store answers."""
        return self.config is not None and all(claim.state == "held" and not claim.trouble for claim in self.claims)

    def sentence(self) -> str:
        """All of it in one."""
        if self.config is None:
            return "This place is in no fleet."
        where = f"Leases are kept in {self.config.lease}, for {wording.span(self.config.term)}"
        if not self.claims:
            return f"{where}; no runner here asks for a claim."
        mine = sum(claim.mine for claim in self.claims)
        return f"{where}; {mine} of {wording.count(len(self.claims), 'claim')} held here."

    def json(self) -> dict[str, Any]:
        """The documented shape."""
        from . import shapes

        return shapes.fleet(self)

    def rows(self) -> list[tuple[object, ...]]:
        """One line for each claim."""
        return [
            (
                claim.claim,
                claim.holder or "nobody",
                claim.epoch,
                "holds it" if claim.mine else "stands by",
                wording.since(claim.since, self.at),
                wording.since(claim.renewed, self.at),
                wording.since(claim.looked, self.at),
                claim.next,
                claim.trouble,
            )
            for claim in self.claims
        ]

    def __repr__(self) -> str:
        lines = [f"{row[0]}: {row[1]}, epoch {row[2]}, this place {row[3]}" for row in self.rows()]
        return visible("\n".join([self.sentence(), *lines]))

    def _html(self) -> str:
        return table(self.sentence(), HEAD, self.rows(), empty="no claim")


@dataclass(frozen=True, kw_only=True)
class Spell:
    """A stretch of time in which something acted under a claim, in seconds of the machine's clock."""

    begin: float
    end: float
    place: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """One takeover of a drill: who was struck how, who was next, after how many seconds; how long the old holder's service acted on meanwhile."""

    fault: str
    holder: str
    taker: str
    epoch: int
    seconds: float
    terms: float
    outlived: float


class Fleet(Shown):
    """`city.fleet`: several places of which one at a time holds a claim and runs what is under it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def join(
        self, lease: str, *, term: timedelta | float = TERM, me: str = "", places: Sequence[PlaceConfig | str] = ()
    ) -> FleetStatus:
        """Be one of a fleet; twice is once. Runners that are started with `claim=` run only while this place holds their claim.

        Args:
            lease: where the places find each other: `git:URL`, `store:postgresql+psycopg://user@host/name` (only `store` for the shared
                store that this home uses), or `huggingface:OWNER/DATASET`.
            term: how long a holding lasts without being renewed; another place takes over in under two of them. Seconds or a timedelta.
            me: what this place is called among the others.
            places: all of them by name, the best first, or with their price, start time and budget.

        Raises:
            BadInput: the address cannot be used.
            Refused: something runs under a claim of another lease store.
        """
        if lease.startswith(f"{HUB}:"):
            self._provide()
        named = [PlaceConfig(name=one) if isinstance(one, str) else one for one in places]
        seconds = term.total_seconds() if isinstance(term, timedelta) else float(term)
        config = FleetConfig(lease=lease, term=timedelta(seconds=seconds), me=me, places=tuple(named))
        import msgspec

        self._link.ask("fleet.join", "", msgspec.to_builtins(config))
        return self.status()

    def leave(self) -> FleetStatus:
        """Be in no fleet any more.

        Raises:
            NotFound: it is in none.
            Refused: something is wanted up under a claim.
        """
        self._link.ask("fleet.leave")
        return self.status()

    def status(self) -> FleetStatus:
        """Who holds what. Asks this place's store only, never the lease store."""
        with self._link.read() as connection:
            config = fleets.config_of(connection, self._link.place)
            claims = fleets.claims_of(connection, self._link.place) if config is not None else ()
        return FleetStatus(config, claims, now())

    def _provide(self) -> None:
        """See to it that the token for the hub lies where the engine finds it."""
        value, source = secrets.find(HUB_TOKENS)
        home = self._link.store.home
        if value:
            known = secrets.load(home, HUB) if secrets.has(home, HUB) else ""
            if value != known:
                secrets.keep(home, HUB, value)
                self._link.say(f"The token for Hugging Face (fingerprint {secrets.fingerprint(value)}) was taken from {source}.")
        elif not secrets.has(home, HUB):
            raise NotFound("there is no token for Hugging Face", "Put one that may write the dataset into HF_TOKEN, or into Colab's secrets")

    def __repr__(self) -> str:
        return repr(self.status())

    def _html(self) -> str:
        return self.status()._html()  # noqa: SLF001 - the same picture
