"""How long a machine lives, what a cell that keeps work on it alive may do about that, and what it says. Pure: facts and `now` in, words out.

Keeping alive is a visible cell that computes, bounded by the terms of wherever it is; nothing here clicks, pings or plays a sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import BadInput, Refused
from ..model.place import Tier, Venue
from .places import policy
from .wording import count, sentence, since, span

MARGIN = timedelta(minutes=15)
"""So long before the end the work goes elsewhere: a start over there takes a minute or two, a job some more."""
SHORTEST = timedelta(minutes=1)
QUIET = timedelta(minutes=2)
"""There is no work left when there was none for so long."""
LIMITS = {(Venue.COLAB, Tier.PAID): 24.0}
"""Hours that a machine lives at most, by what was read of its owner's terms. Elsewhere nobody says."""
IDLE = {Venue.COLAB: "about 90 min", Venue.BINDER: "about 10 min", Venue.JUPYTERHUB: "as its hub has set"}
"""After how long without an executing cell a machine is taken away, as far as anybody says."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """The life of a machine and of a cell on it. `ends`: of the machine, None when nobody says; `until`: of the cell; `hands`: when work goes."""

    venue: Venue
    tier: Tier
    until: datetime
    ends: datetime | None = None
    limit: float | None = None
    hands: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look at a place showed. `saved`: the last copy in a vault; `vault`: what is wrong with it; `goes`: where the work would go."""

    runners: tuple[str, ...] = ()
    engine: bool = True
    busy: int = 0  # jobs and notebooks that run or wait
    vaults: int = 0
    saved: datetime | None = None
    vault: str = ""
    goes: str = ""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a cell shows: sentences that stay true for a while, and the one whose age ticks."""

    steady: tuple[str, ...]
    saved: str

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, in order."""
        return (self.steady[0], self.saved, *self.steady[1:]) if self.steady else (self.saved,)


def planned(
    venue: Venue,
    tier: Tier,
    *,
    born: datetime,
    now: datetime,
    hours: float,
    limit: float | None = None,
    margin: timedelta = MARGIN,
) -> Life:
    """For how long a cell keeps work alive, and when it hands it over.

    Args:
        born: when the machine began.
        hours: as many as were asked for, from now on.
        limit: how many the machine lives in all, for who knows better than the table; never more than the terms allow.
        margin: how long before the end the work goes.

    Raises:
        Refused: the terms forbid it; the sentence names the clause, and what works instead.
        BadInput: a number makes no sense, or the end is here already.
    """
    ruling = policy(venue, tier)
    if not ruling.allowed:
        raise Refused(f"work is not kept alive on {venue.value}: {ruling.why}", ruling.todo)
    if not 0 < hours < 10_000 or (limit is not None and not 0 < limit < 10_000) or margin < timedelta(0):
        raise BadInput("hours, limit and margin have to be more than nothing", "Write hours=8, margin=15 (minutes)")
    most = LIMITS.get((venue, tier))
    lives = min((one for one in (limit, most) if one is not None), default=None)
    ends = born + timedelta(hours=lives) if lives is not None else None
    if ends is not None and ends - now < SHORTEST:
        raise BadInput(f"this machine ends now: its {lives:g} hours are over", "Begin a new one; its first cell is qcity_nb.resume(…)")
    until = min(now + timedelta(hours=hours), ends or datetime.max.replace(tzinfo=now.tzinfo))
    hands = until - min(margin, (until - now) / 2) if ends is not None else None
    return Life(venue=venue, tier=tier, until=until, ends=ends, limit=lives, hands=hands)


def words(life: Life, seen: Seen, now: datetime, *, until_idle: bool = False, handed: bool = False) -> Words:
    """What the cell shows at a moment."""
    said = [_end(life)]
    if handed:
        said.append(f"The work was handed to: {seen.goes}. The runners here finish what they run.")
    elif life.hands is not None and seen.goes:
        said.append(f"At {clock(life.hands)} the work goes to: {seen.goes}.")
    elif life.hands is not None:
        after = "the next machine goes on from the last copy (qcity_nb.resume)" if seen.vaults else "it ends with this machine"
        said.append(f"No place takes the work over: {after}.")
    names = ", ".join(seen.runners[:6]) + (", …" if len(seen.runners) > 6 else "")
    work = f"; {count(seen.busy, 'job runs or waits', 'jobs run or wait')}" if seen.busy else ""
    what = f"{count(len(seen.runners), 'runner')} kept up: {names}{work}" if seen.runners else f"No runner is wanted up here{work}"
    said.append(sentence(what if seen.engine else f"{what}; its engine is being started again"))
    if until_idle:
        said.append("This cell ends when no work is left.")
    return Words(steady=tuple(said), saved=_saved(seen, now))


def over(life: Life, now: datetime, *, quiet: datetime | None, until_idle: bool) -> str:
    """Why the cell ends now; empty while it goes on.

    Args:
        quiet: since when there is no work, None while there is.
    """
    if now >= life.until:
        return "its time is over"
    if until_idle and quiet is not None and now - quiet >= QUIET:
        return f"there was no work for {span(QUIET)}"
    return ""


def ended(why: str, seen: Seen, now: datetime, *, returned: bool = False) -> str:
    """The last sentences of a cell."""
    after = "This machine is being given back." if returned else "The engine goes on without this cell."
    return f"This cell has ended: {why}. {_saved(seen, now)} {after}"


def clock(moment: datetime) -> str:
    """A time of day, for people."""
    return f"{moment:%H:%M} UTC"


def leads_to(names: Sequence[str], claims: Sequence[str]) -> str:
    """Where the work would go: fallbacks that are known, then whoever is next for the claims held here."""
    return ", ".join(dict.fromkeys([*names, *(name for name in claims if name)]))


def _end(life: Life) -> str:
    if life.ends is None:
        return f"Nobody says when this machine ends; this cell ends at {clock(life.until)}."
    limit = f"{life.limit:g} h limit"
    idle = f" Without an executing cell it is taken away after {IDLE[life.venue]}." if life.venue in IDLE and life.until < life.ends else ""
    if life.until < life.ends:
        return f"This cell ends at {clock(life.until)}, the machine at about {clock(life.ends)} ({limit}).{idle}"
    return f"This machine ends at about {clock(life.ends)} ({limit})."


def _saved(seen: Seen, now: datetime) -> str:
    if seen.vault:
        return sentence(seen.vault)
    if not seen.vaults:
        return "Nothing is saved off this machine: city.vaults.add(…) does that."
    return f"Saved {since(seen.saved, now)}." if seen.saved else "Nothing was saved yet."
