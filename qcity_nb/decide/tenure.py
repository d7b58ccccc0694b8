"""What a holder and a watcher of a claim do now. Pure: clocks and answers of the store go in, the next question to the store comes out.

Why never two hold: a holder counts its term from the moment it *sent* its last good renewal, on a clock that runs while the machine sleeps, and acts
for two thirds of it at most. A watcher counts a whole term from the moment it first *saw* that renewal, which is later, on a clock that
stands still while the machine sleeps; then it needs a compare-and-swap on the very version that it saw. No clock is compared with another machine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..model.fleet import Candidate, Epoch, Holding, Instant, PlaceConfig, Stored, Tenancy

RENEW = 1 / 3
STOP = 1 / 2
"""Without a renewal, services are asked to end from this share of the term on."""
FENCE = 2 / 3
"""And are killed at this one: nothing acts beyond it."""
RETRY = 1 / 24
LOOK = 1 / 6
"""How often a watcher looks, as a share of the term."""
RANK = 1 / 8
"""How much longer each less preferred place waits, up to four of them, so that the best one tries first."""
KEPT_DOUBTS = 8


@dataclass(frozen=True, kw_only=True)
class Read:
    """Ask the store what it has."""


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Ask the store to put a record in the place of the version that was seen; None means that there was none."""

    expected: str | None
    record: Holding


Ask = Read | Swap


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """All that one place knows of one claim. Two moments of different clocks never meet: `seen` is counted awake, `since` in total."""

    claim: str
    place: str
    term: timedelta
    seat: str = ""
    name: str = ""
    rank: int = 0
    record: Holding | None = None
    version: str | None = None
    seen: Instant | None = None  # when this version was first seen; None before the store first answered
    looked: Instant | None = None  # the last answer
    tried: Instant | None = None  # the last question that got none
    held: Epoch = Epoch(0)  # what this place holds now
    since: Instant | None = None  # when the write that it holds by was sent
    lapsed: int = 0  # the highest epoch that it held and let go of: only a higher one will do
    asked: Ask | None = None
    sent: Instant | None = None
    doubts: tuple[tuple[Holding, Instant], ...] = ()  # swaps whose answer was lost, and when the first of each was sent
    trouble: str = ""

    @property
    def seconds(self) -> float:
        """The term in seconds."""
        return self.term.total_seconds()

    @property
    def ours(self) -> bool:
        """Whether the record names this very place."""
        return self.record is not None and (self.record.place, self.record.seat) == (self.place, self.seat)


def holds(tenure: Tenure, now: Instant) -> bool:
    """Whether this place may act under the claim now."""
    return bool(tenure.held) and tenure.since is not None and now.total < tenure.since.total + STOP * tenure.seconds


def limits(tenure: Tenure) -> tuple[float, float]:
    """When services of the claim are asked to end and when they are killed, unless it is renewed before: seconds of the clock that runs in sleep."""
    begin = tenure.since.total if tenure.since is not None else 0.0
    return begin + STOP * tenure.seconds, begin + FENCE * tenure.seconds


def step(tenure: Tenure, now: Instant, *, wanted: bool, wall: datetime | None = None) -> tuple[Tenure, Ask | None]:
    """Let go of what is too old, and say what to ask the store now, if anything.

    Args:
        wanted: whether this place wants to hold it. It is released when not, so it has to be false only when nothing acts under it any more.
        wall: stamped into the record for people; nothing is decided by it.
    """
    if tenure.held and not holds(tenure, now):
        tenure = _lapse(tenure)
    if tenure.asked is not None:
        return tenure, None
    ask = _of_holder(tenure, now, wanted=wanted) if tenure.held else _of_watcher(tenure, now, wanted=wanted)
    if ask is None:
        return tenure, None
    if isinstance(ask, Swap):
        ask = replace(ask, record=replace(ask.record, at=wall))
        if ask.record.state is Tenancy.RELEASED:
            tenure = _lapse(tenure)
    return replace(tenure, asked=ask, sent=now), ask


def found(tenure: Tenure, stored: Stored | None, now: Instant) -> Tenure:
    """The store answered a read."""
    record, version = (None, None) if stored is None else (stored.record, stored.version)
    if tenure.seen is None or version != tenure.version:
        tenure = replace(tenure, seen=now)
    tenure = replace(tenure, record=record, version=version, looked=now, tried=None, asked=None, sent=None, trouble="")
    doubt = next((sent for doubted, sent in tenure.doubts if record is not None and doubted.key == record.key), None)
    tenure = replace(tenure, doubts=())
    if record is None or record.state is Tenancy.RELEASED or not tenure.ours:
        return _lapse(tenure) if tenure.held else tenure
    if doubt is not None:
        return _settle(tenure, record, doubt)
    if tenure.held and record.epoch != tenure.held:
        return _lapse(tenure)
    return tenure


def swapped(tenure: Tenure, version: str | None, now: Instant) -> Tenure:
    """The store answered a swap: with the new version, or None when somebody else was first."""
    ask, sent = tenure.asked, tenure.sent
    assert isinstance(ask, Swap)
    assert sent is not None
    tenure = replace(tenure, asked=None, sent=None, trouble="")
    if version is None:
        return replace(tenure, looked=None, tried=None)  # what is there now has to be read before anything else
    tenure = replace(tenure, record=ask.record, version=version, seen=now, looked=now, tried=None, doubts=())
    return tenure if ask.record.state is Tenancy.RELEASED else _settle(tenure, ask.record, sent)


def failed(tenure: Tenure, why: str, now: Instant) -> Tenure:
    """The store did not answer. A swap may have been done all the same: that is found out by reading."""
    doubts = tenure.doubts
    if isinstance(tenure.asked, Swap) and tenure.sent is not None and all(old.key != tenure.asked.record.key for old, _ in doubts):
        doubts = (*doubts, (tenure.asked.record, tenure.sent))[-KEPT_DOUBTS:]
    return replace(tenure, asked=None, sent=None, tried=now, looked=None, doubts=doubts, trouble=why)


def due(tenure: Tenure, now: Instant) -> float:
    """In how many seconds `step` has to be asked again at the latest."""
    if tenure.asked is not None and not tenure.held:
        return tenure.seconds * LOOK
    times = [tenure.seconds * (RETRY if tenure.tried is not None else LOOK)]
    if tenure.held and tenure.since is not None:
        times = [tenure.since.total + share * tenure.seconds - now.total for share in (RENEW, STOP)]
        times = [seconds for seconds in times if seconds > 0] + ([tenure.seconds * RETRY] if times[0] <= 0 else [])
    elif tenure.seen is not None:
        over = tenure.seen.awake + _patience(tenure) - now.awake
        times += [over] if over > 0 else []
    return max(min(times), 0.01)


def order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The places that could take over, the best first: policy allows, platform healthy, budget left, start time, price; then as they were named."""
    fit = [one for one in candidates if one.allowed and (one.budget is None or one.budget > 0)]
    return sorted(fit, key=lambda one: (not one.healthy, one.start_time, one.price))


def candidates(places: Sequence[PlaceConfig], *, refused: dict[str, str] | None = None, ill: dict[str, str] | None = None) -> list[Candidate]:
    """The places of a configuration as candidates.

    Args:
        refused: places that policy does not allow, with the reason.
        ill: places whose platform is not healthy, with the reason.
    """
    refused, ill = refused or {}, ill or {}
    return [
        Candidate(
            place=place.name,
            allowed=place.name not in refused,
            healthy=place.name not in ill,
            budget=place.budget,
            start_time=place.start,
            price=place.price,
            why=refused.get(place.name) or ill.get(place.name, ""),
        )
        for place in places
    ]


def _of_holder(tenure: Tenure, now: Instant, *, wanted: bool) -> Ask | None:
    record = tenure.record
    assert record is not None
    assert tenure.since is not None
    if tenure.tried is not None and now.total - tenure.tried.total < RETRY * tenure.seconds:
        return None
    if tenure.looked is None:
        return Read()
    if not wanted:
        return Swap(expected=tenure.version, record=replace(record, state=Tenancy.RELEASED, renewed=record.renewed + 1))
    if now.total - tenure.since.total < RENEW * tenure.seconds:
        return None
    return Swap(expected=tenure.version, record=replace(record, renewed=record.renewed + 1, term=tenure.term, name=tenure.name))


def _of_watcher(tenure: Tenure, now: Instant, *, wanted: bool) -> Ask | None:
    if tenure.tried is not None and now.awake - tenure.tried.awake < 2 * RETRY * tenure.seconds:
        return None
    if tenure.looked is None or now.awake - tenure.looked.awake >= LOOK * tenure.seconds:
        return Read()
    if not wanted or tenure.seen is None:
        return None
    record = tenure.record
    if tenure.ours and record is not None:
        again = tenure.lapsed >= record.epoch or record.state is Tenancy.RELEASED
        epoch = Epoch(record.epoch + 1) if again else record.epoch
        return Swap(expected=tenure.version, record=_claimed(tenure, epoch, 0 if again else record.renewed + 1))
    if now.awake - tenure.seen.awake < _patience(tenure):
        return None
    return Swap(expected=tenure.version, record=_claimed(tenure, Epoch(record.epoch + 1 if record else 1), 0))


def _patience(tenure: Tenure) -> float:
    """How long the record has to stay as it is before this place takes over."""
    wait = min(tenure.rank, 4) * RANK * tenure.seconds
    if tenure.record is None or tenure.record.state is Tenancy.RELEASED or tenure.ours:
        return wait
    return wait + max(tenure.record.term.total_seconds(), tenure.seconds)


def _claimed(tenure: Tenure, epoch: Epoch, renewed: int) -> Holding:
    return Holding(
        claim=tenure.claim, place=tenure.place, seat=tenure.seat, name=tenure.name, epoch=epoch, renewed=renewed, term=tenure.term
    )


def _settle(tenure: Tenure, record: Holding, sent: Instant) -> Tenure:
    """A write that was sent then is known to be done; one of an epoch that was let go of meanwhile gives nothing."""
    return tenure if record.epoch <= tenure.lapsed else replace(tenure, held=record.epoch, since=sent)


def _lapse(tenure: Tenure) -> Tenure:
    return replace(tenure, held=Epoch(0), since=None, lapsed=max(tenure.lapsed, tenure.held))
