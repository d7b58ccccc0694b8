"""Claims, wired: of several places one holds a claim and runs its services, the others stand by. What a holder and a watcher do is `decide.tenure`.

It asks lease stores by couriers, starts what this place may run, ends what it may not, and never decides by a record's stamp.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from ..decide import supervise
from ..decide import tenure as rules
from ..decide.places import forbidden, tier_of
from ..decide.tenure import Swap, Tenure
from ..errors import BadInput, NotFound, Refused, StoreError
from ..model.fleet import ClaimView, FleetConfig, Instant, PlaceConfig, Tenancy
from ..model.place import Ruling
from ..model.service import Desired, Phase, ServiceSpec
from ..ports import LeaseStore
from ..store import fleets
from ..store import services as rows
from .context import Context
from .courier import Answer, Courier
from .supervisor import Supervisor

ALIVE = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)
ANSWERS = 1 / 6
"""How long a store may take to answer, as a share of the term; twice that, and its courier is given up."""
MOST_GIVEN_UP = 8
MUTE = "the lease store does not answer"
LEAST = 1.0
"""Seconds that it may take in any case: git alone starts several programs for an answer."""
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(hours=1)
RELEASE_LIMIT = timedelta(seconds=10)
"""How long an engine that ends waits until its claims are given back."""
LOOK = timedelta(seconds=5)
Leases = Callable[[str, str, float], LeaseStore]
"""Opens the lease store of a claim: where, claim, seconds that a call may take."""
Rulings = Callable[[PlaceConfig], Ruling]
"""What policy says of where this process is, given how its place is set up."""


class Fleet:
    """The part of the engine that knows other places.

    Args:
        context: the engine's hands and memory.
        supervisor: starts and ends services.
        leases: opens lease stores; None where there are none.
        wake: called from a courier's thread when an answer is there.
        ruling: what policy says of this place.
    """

    def __init__(self, context: Context, supervisor: Supervisor, leases: Leases | None, wake: Callable[[], object], *, ruling: Rulings) -> None:
        self._c, self._supervisor, self._leases, self._wake, self._ruling = context, supervisor, leases, wake, ruling
        self._couriers: dict[str, Courier] = {}
        self._given_up: list[Courier] = []
        self._since: dict[str, tuple[tuple[str, int], datetime]] = {}  # who has held it in which epoch since when, as first seen here
        self._told: tuple[ClaimView, ...] = ()
        self._told_at: datetime | None = None
        self._mute = False
        self._ends_by: datetime | None = None

    def take_over(self) -> None:
        """Know again what an earlier engine was told."""
        with contextlib.suppress(StoreError), self._c.store.read() as connection:
            self._c.claims.config = fleets.config_of(connection, self._c.store.place)

    def join(self, args: Mapping[str, object]) -> dict[str, object]:
        """Be one of a fleet from now on; the next engine knows it too.

        Raises:
            BadInput: it cannot be.
            Refused: something runs under a claim of another one.
        """
        config, claims = msgspec.convert(dict(args), FleetConfig, strict=False), self._c.claims
        if not SHORTEST <= config.term <= LONGEST:
            raise BadInput(f"a term of {config.term.total_seconds():g} s cannot be", "It is between 1 second and an hour; 60 seconds are a good one")
        if self._leases is None:
            raise Refused("this engine has no lease stores", "qcity engine stop, then try again")
        self._leases(config.lease, "join", 5.0).close()  # an address that cannot be used is said at once
        for place in config.places:
            tier_of(place.options)
        old = claims.config
        if old is not None and (old.lease, old.term) != (config.lease, config.term) and any(row.state.phase in ALIVE for row in self._claimed()):
            raise Refused(f"runners run under claims of {old.lease}", "Stop them first: qcity runner stop NAME")
        if old is not None and (old.lease, old.term) != (config.lease, config.term):
            self._drop()
        claims.config = config
        claims.tenures = {name: replace(tenure, name=self._name(), rank=self._rank(name)) for name, tenure in claims.tenures.items()}
        self._c.record(lambda connection: fleets.put(connection, self._c.store.place, config, at=self._c.clock.wall()))
        return {"lease": config.lease, "term": config.term.total_seconds(), "me": self._name(), "rank": self._rank("")}

    def check(self, spec: ServiceSpec) -> None:
        """See to it that a claim can be had.

        Raises:
            Refused: this place is in no fleet.
            BadInput: the claim's name cannot be used.
        """
        if not spec.claim:
            return
        if self._c.claims.config is None or self._leases is None:
            todo = 'qcity fleet join LEASE, or a [fleet] table with lease = "git:URL" in qcity.toml'
            raise Refused(f"{spec.name} asks for the claim {spec.claim}, and this place is in no fleet", todo)
        self._leases(self._c.claims.config.lease, spec.claim, 5.0).close()

    def leave(self) -> dict[str, object]:
        """Be none any more.

        Raises:
            NotFound: it is in no fleet.
            Refused: something is wanted up under a claim.
        """
        if self._c.claims.config is None:
            raise NotFound("this place is in no fleet", "qcity fleet join LEASE makes it one")
        if wanted := [row.name for row in self._claimed() if row.state.desired is Desired.UP or row.state.phase in ALIVE]:
            raise Refused(f"{wanted[0]} is wanted up under a claim", f"qcity runner stop {wanted[0]} first")
        self._drop()
        self._c.claims.config = None
        self._c.record(lambda connection: fleets.remove(connection, self._c.store.place))
        return {"left": True}

    def step(self) -> None:
        """Hear stores, ask them, start and end what has to be."""
        config, claims = self._c.claims.config, self._c.claims
        wanted = {row.spec.claim for row in self._claimed()}
        claims.unfit = self._unfit() if wanted else ""
        if config is None:
            for row in self._claimed():
                self._bar(row)
            return
        for claim in sorted(wanted | set(claims.tenures)):
            answers = self._couriers[claim].answers() if claim in self._couriers else []
            now = claims.instant()  # after hearing: a watcher must not have seen anything before it was there
            tenure = self._heard(claim, claims.tenures.get(claim) or self._fresh(claim, config), answers, now)
            tenure = replace(tenure, rank=self._rank(claim))
            tenure, ask = rules.step(tenure, now, wanted=self._is_wanted(claim), wall=self._c.clock.wall())
            if ask is not None and (courier := self._courier(claim, config)) is not None:
                courier.ask(ask)
            elif ask is not None:
                tenure = rules.failed(tenure, MUTE, now)
            claims.tenures[claim] = tenure
            self._enforce(claim)
            if claim not in wanted and not tenure.held and tenure.asked is None:
                self._forget(claim)
        self._tell()

    def deadline(self) -> datetime | None:
        """When `step` is due at the latest (steady clock)."""
        now, steady = self._c.claims.instant(), self._c.clock.now()
        due = [rules.due(tenure, now) for tenure in self._c.claims.tenures.values()]
        return steady + timedelta(seconds=min(due)) if due else None

    def settled(self) -> bool:
        """Whether an engine that ends with its services may go: its claims are given back, or there was time enough for that."""
        if not any(tenure.held or isinstance(tenure.asked, Swap) for tenure in self._c.claims.tenures.values()):
            return True
        now = self._c.clock.now()
        self._ends_by = self._ends_by or now + RELEASE_LIMIT
        return now >= self._ends_by

    def close(self) -> None:
        """Ask nobody any more."""
        for courier in self._couriers.values():
            courier.close()
        self._couriers.clear()

    def _claimed(self) -> list[rows.ServiceRow]:
        return [row for row in self._c.services.values() if row.spec.claim]

    def _of(self, claim: str) -> list[rows.ServiceRow]:
        return [row for row in self._claimed() if row.spec.claim == claim]

    def _is_wanted(self, claim: str) -> bool:
        """Whether the claim is to be held here: something is wanted up and not given up on, or something of it lives and needs its fence renewed."""
        states = [row.state for row in self._of(claim)]
        may = bool(self._c.claims.held(claim)) or not self._c.claims.unfit
        up = may and not self._c.stop_services and any(state.desired is Desired.UP and state.phase is not Phase.QUARANTINED for state in states)
        return up or any(state.phase in ALIVE for state in states)

    def _heard(self, claim: str, tenure: Tenure, answers: list[Answer], now: Instant) -> Tenure:
        """What the store said goes into the tenure; one that says nothing for too long is not waited for."""
        for answer in answers:
            tenure = _take(tenure, answer, now)
        if tenure.asked is not None and tenure.sent is not None and now.awake - tenure.sent.awake > 2 * max(ANSWERS * tenure.seconds, LEAST):
            late = self._couriers.pop(claim)  # its answer is heard by nobody; whether it was done is found out by reading
            late.close()
            self._given_up.append(late)
            tenure = rules.failed(tenure, MUTE, now)
        return tenure

    def _enforce(self, claim: str) -> None:
        """What may run runs, what may not ends."""
        for row in self._of(claim):
            state = row.state
            if state.phase in (Phase.STARTING, Phase.RUNNING):
                self._mind(row)
                continue
            rests = state.phase in (Phase.STOPPED, Phase.BACKOFF) and state.desired is Desired.UP
            if rests and not self._bar(row) and state.standby:
                self._supervisor.apply(row.name, supervise.started(state, self._c.clock.now()))

    def _mind(self, row: rows.ServiceRow) -> None:
        """Something lives: its fence is moved with each renewal; it ends when its epoch is over, or is known to be another's."""
        claims, fence = self._c.claims, self._c.claims.fence_of(row.name)
        held, tenure = claims.held(row.spec.claim), claims.tenures[row.spec.claim]
        if held and fence is not None and fence.epoch == held:
            if fence.stop != rules.limits(tenure)[0]:
                with contextlib.suppress(OSError):  # then the old one holds, and it ends too early rather than too late
                    claims.raise_fence(row.spec)
            return
        over = fence is None or claims.instant().total >= fence.stop
        if held or over or (tenure.seen is not None and not tenure.ours):
            why = f"{row.spec.claim} is held in a new epoch" if held else claims.barred(row.spec)
            self._supervisor.apply(row.name, supervise.standing_by(row.state, self._c.clock.now(), why=why))

    def _bar(self, row: rows.ServiceRow) -> bool:
        """Whether a service may not run; then it stands by, and says why."""
        why = self._c.claims.barred(row.spec)
        if why and row.state.desired is Desired.UP and (row.state.reason != why or not row.state.standby):
            self._supervisor.apply(row.name, supervise.standing_by(row.state, self._c.clock.now(), why=why))
        return bool(why)

    def _fresh(self, claim: str, config: FleetConfig) -> Tenure:
        return Tenure(claim=claim, place=self._c.store.place, term=config.term, seat=seat(self._c.home.root), name=self._name())

    def _courier(self, claim: str, config: FleetConfig) -> Courier | None:
        """The claim's courier; none while too many that were given up still hang."""
        self._given_up = [one for one in self._given_up if one.alive]
        if claim not in self._couriers and len(self._given_up) >= MOST_GIVEN_UP:
            return None
        if claim not in self._couriers:
            leases = self._leases
            assert leases is not None
            seconds = max(config.term.total_seconds() * ANSWERS, LEAST)
            self._couriers[claim] = Courier(lambda: leases(config.lease, claim, seconds), self._wake)
        return self._couriers[claim]

    def _forget(self, claim: str) -> None:
        self._c.claims.tenures.pop(claim, None)
        if courier := self._couriers.pop(claim, None):
            courier.close()

    def _drop(self) -> None:
        for claim in list(self._c.claims.tenures):
            self._forget(claim)

    def _name(self) -> str:
        config = self._c.claims.config
        return (config.me if config else "") or socket.gethostname()

    def _me(self) -> PlaceConfig:
        """How the fleet names this place."""
        config, name = self._c.claims.config, self._name()
        return next((place for place in (config.places if config else ()) if place.name == name), PlaceConfig(name=name))

    def _order(self, claim: str) -> list[str]:
        """The places that may take a claim, the best first, as this one knows them."""
        config, me = self._c.claims.config, self._me()
        refused = forbidden(config.places, me=me.name, mine=self._ruled(me)) if config else {}
        ill = {me.name: why} if (why := self._ill(claim)) else {}
        return [one.place for one in rules.order(rules.candidates(config.places, refused=refused, ill=ill))] if config else []

    def _rank(self, claim: str) -> int:
        """How many places come first; one that nobody named comes last, and one that is ill: the others cannot know that it is."""
        names, me = self._order(claim), self._name()
        return names.index(me) if me in names and not self._ill(claim) else len(names)

    def _unfit(self) -> str:
        """Why this place may take nothing over; empty when it may. What it holds it keeps."""
        me = self._me()
        if not (ruling := self._ruled(me)).allowed:
            return ruling.why
        return "its budget is spent" if me.budget is not None and me.budget <= 0 else ""

    def _ruled(self, me: PlaceConfig) -> Ruling:
        """What policy says of this place; a store may hold what an older version did not look at."""
        try:
            return self._ruling(me)
        except BadInput as error:
            return Ruling(allowed=False, why=error.what, todo=error.todo)

    def _ill(self, claim: str) -> str:
        """Why a healthy place should come before this one: what its store, its machine, or its way to the platform lacks."""
        for row in self._of(claim):
            if why := row.trouble.get("machine") or (row.agent.note if row.agent is not None else ""):
                return why
        return self._c.note

    def _tell(self) -> None:
        """Put down for people how the claims are: every change, and the last look from time to time."""
        context = self._c
        views = tuple(self._view(claim, tenure) for claim, tenure in sorted(context.claims.tenures.items()))
        now, wall = context.clock.now(), context.clock.wall()
        plain = tuple(replace(view, looked=None, renewed=None) for view in views)
        changed = plain != self._told and not self._mute
        if not changed and self._told_at is not None and now - self._told_at < LOOK:
            return
        before = {view.claim: view for view in self._told}

        def write(connection: Connection) -> None:
            fleets.tell(connection, context.store.place, views)
            for view in views:
                old = before.get(view.claim)
                was, is_ = (_word(old.state, mine=old.mine) if old else ""), _word(view.state, mine=view.mine)
                if was != is_:
                    reason = f"epoch {view.epoch}, {view.holder or 'nobody'}" + (f"; {view.trouble}" if view.trouble else "")
                    rows.flip(connection, context.store.place, "claim", view.claim, was, is_, reason=reason, at=wall, generation=context.generation)

        self._mute, self._told_at = not context.record(write), now  # a store that is away is not tried at every tick
        if not self._mute:
            self._told = plain

    def _view(self, claim: str, tenure: Tenure) -> ClaimView:
        record, mine = tenure.record, bool(self._c.claims.held(claim))
        holder = (record.name or record.place[:8]) if record is not None and record.state is Tenancy.HELD else ""
        key = (holder, record.epoch if record else 0)
        if claim not in self._since or self._since[claim][0] != key:
            self._since[claim] = (key, self._c.clock.wall())
        order = self._order(claim)
        state = "unknown" if tenure.seen is None else "free" if not holder else "held"
        return ClaimView(
            claim=claim,
            holder=holder,
            epoch=key[1],
            state=state,
            mine=mine,
            term=tenure.term,
            since=self._since[claim][1],
            renewed=self._wall(tenure.seen),
            looked=self._wall(tenure.looked),
            next=next((name for name in order if name != holder), ""),
            trouble=tenure.trouble or ("" if holder else self._c.claims.unfit),
        )

    def _wall(self, moment: Instant | None) -> datetime | None:
        """A moment of this machine as people read it."""
        if moment is None:
            return None
        return self._c.clock.wall() - timedelta(seconds=max(0.0, self._c.claims.instant().total - moment.total))


def seat(root: Path) -> str:
    """The machine, boot and folder of a home: a copied home, and one after a reboot, is another one."""
    parts = [str(root.resolve())]
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with contextlib.suppress(OSError):
            parts.append(Path(path).read_text().strip())
    return hashlib.sha256("|".join([*parts, os.uname().nodename]).encode()).hexdigest()[:12]


def _take(tenure: Tenure, answer: Answer, now: Instant) -> Tenure:
    if tenure.asked != answer.ask:
        return tenure  # it was given up
    if answer.trouble:
        return rules.failed(tenure, answer.trouble, now)
    if isinstance(answer.ask, Swap):
        return rules.swapped(tenure, answer.version, now)
    return rules.found(tenure, answer.stored, now)


def _word(state: str, *, mine: bool) -> str:
    return "held here" if mine else "held elsewhere" if state == "held" else state
