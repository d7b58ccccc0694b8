"""Tunnels: each is a service of its own; what its pilot says becomes rows, and what follows its address is told to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.engine import Connection

from ..decide import supervise
from ..errors import BadInput, NotFound, Refused, StoreError
from ..model.service import Desired, Phase, RestartPolicy, ServiceSpec, ServiceState
from ..model.tunnel import Binding, Followed, Follower, Issued, TunnelPlan, TunnelState, TunnelView
from ..model.wire import Fact, Follow, FollowerCard, Hello, Probe, TunnelFollowed, TunnelMoved
from ..ports import Followable
from ..store import services as rows
from ..store import tunnels as store
from ..store.tunnels import FollowerRow
from .context import Context, Verb, check_name
from .supervisor import Supervisor

KIND = "tunnel"
ALIVE = (Phase.STARTING, Phase.RUNNING)
POLICY = RestartPolicy(burst=20)
"""A pilot that dies is started again at once; it costs nothing but a moment without an address."""


class Tunnels:
    """The part of the engine that keeps tunnels.

    Args:
        context: the engine's hands and memory.
        supervisor: starts and ends the pilots.
    """

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self._c, self._supervisor = context, supervisor
        self._untold: set[str] = set()  # pilots that have not been told yet what follows them, because the store or the disk took nothing
        self.verbs: dict[str, Verb] = {
            "tunnel.open": self._open,
            "tunnel.close": self._close,
            "tunnel.test": self._test,
            "follow.put": self._follow,
            "follow.drop": self._unfollow,
        }

    def take_over(self) -> None:
        """A pilot that lived on is told again what follows it: an order may have been lost with the last engine."""
        self._untold = {name for name, row in self._mine() if row.state.phase in ALIVE}
        self._tell()

    def step(self) -> None:
        """Forget those that were closed, and those whose time is over."""
        context = self._c
        self._tell()
        for name, row in self._mine():
            if row.state.phase is not Phase.STOPPED or row.state.desired is Desired.UP:
                continue

            def write(connection: Connection, row: rows.ServiceRow = row) -> None:
                wall = context.clock.wall()
                known = store.get(connection, context.store.place, row.name)
                if known is not None:
                    gone = TunnelView(name=row.name, state=TunnelState.OFF, since=wall, port=known.view.port, generation=known.view.generation)
                    store.put(connection, context.store.place, replace(gone, reason=known.view.reason), at=wall)
                store.end(connection, context.store.place, row.name, at=wall)
                rows.remove(connection, row, at=wall)

            if context.record(write):
                del context.services[name]

    def take(self, connection: Connection, name: str, incarnation: int, fact: Fact) -> None:
        """What a pilot said of its tunnel."""
        context, place = self._c, self._c.store.place
        if isinstance(fact, TunnelFollowed):
            known_follower = next((row for row in store.followers_of(connection, place, tunnel=name) if row.key == fact.key), None)
            store.told(connection, place, name, fact.key, fact.what, at=fact.at)
            if known_follower is not None and _is_news(known_follower, fact.what):
                self._flip(connection, name, "told", "followed" if fact.what.ok else "failed", f"{fact.key}: {fact.what.text}")
        if not isinstance(fact, TunnelMoved):
            return
        view, wall = fact.view, context.clock.wall()
        known = store.get(connection, place, name)
        old = known.view if known else None
        store.put(connection, place, view, at=wall)
        whole = urlsplit(view.url).path in ("", "/")
        if view.url and whole and (old is None or old.generation != view.generation or old.url != view.url):
            issued = Issued(tunnel=name, generation=view.generation, provider=view.provider, origin=view.url, since=wall, why=fact.story)
            store.issue(connection, place, issued)
            self._untold |= {other for other, _ in self._mine() if other != name}  # an origin that two have had says nothing any more
        if fact.story:
            before = old.state.value if old else ""
            self._flip(connection, name, before, view.state.value, fact.story)

    def heard(self, name: str, facts: Sequence[Fact]) -> None:
        """A pilot that has just begun is told what follows it; one whose time is over is closed."""
        if any(isinstance(fact, Hello) for fact in facts) and name in dict(self._mine()):
            self._untold.add(name)
            self._tell()
        moved = [fact for fact in facts if isinstance(fact, TunnelMoved)]
        if moved and moved[-1].view.state is TunnelState.OFF:
            self._bring_down(name, why=moved[-1].view.reason)

    def _mine(self) -> list[tuple[str, rows.ServiceRow]]:
        return [(name, row) for name, row in self._c.services.items() if row.spec.kind == KIND]

    def _tell(self) -> None:
        """Tell whom nobody could tell yet."""
        for name in sorted(self._untold):
            row = self._c.services.get(name)
            if row is not None and row.spec.kind == KIND and row.state.phase in ALIVE:
                try:
                    self._say(name, row.state.incarnation)
                except (StoreError, OSError) as error:  # at the next round
                    self._c.note = self._c.note or str(error)
                    return
            self._untold.discard(name)

    def _say(self, name: str, incarnation: int) -> None:
        context = self._c
        with context.store.read() as connection:
            cards = [
                FollowerCard(key=row.key, follower=row.follower, last=row.last)
                for row in store.followers_of(connection, context.store.place, tunnel=name)
            ]
            known = store.issued_of(connection, context.store.place)
            known_view = store.get(connection, context.store.place, name)
        mine = tuple(one for one in known if one.tunnel == name)
        others = tuple(sorted({one.origin for one in known if one.tunnel != name}))
        last = max([known_view.view.generation if known_view else 0, *(one.generation for one in mine)])
        order = Follow(followers=tuple(cards), issued=mine, others=others, generation=last)
        context.wire.send(name, incarnation, order)

    def _flip(self, connection: Connection, subject: str, old: str, new: str, reason: str) -> None:
        context = self._c
        rows.flip(connection, context.store.place, "tunnel", subject, old, new, reason=reason, at=context.clock.wall(), generation=context.generation)

    # what people ask for

    def _open(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        context, wall = self._c, self._c.clock.wall()
        check_name(name, what="tunnel")
        checked = context.kinds(KIND).check(ServiceSpec(name=name, kind=KIND, options=dict(args), policy=POLICY))
        spec = msgspec.json.decode(msgspec.json.encode(checked), type=ServiceSpec)
        row = context.services.get(name)
        if row is not None and row.spec.kind != KIND:
            raise BadInput(f'"{name}" is a runner ({row.spec.kind})', "Give the tunnel another name")
        if row is not None and row.spec != spec and row.state.phase in (*ALIVE, Phase.STOPPING):
            raise Refused(f'the tunnel "{name}" is open with other settings', f"qcity tunnel close {name} first, or give this one another name")
        if row is None or row.spec != spec:
            with context.store.read() as connection:
                last = rows.last_incarnation(connection, context.store.place, name)
            state = row.state if row else ServiceState(name=name, since=context.clock.now(), incarnation=last)
            plan = msgspec.convert(spec.options, TunnelPlan)
            view = TunnelView(name=name, state=TunnelState.STARTING, since=wall, port=plan.port)

            def write(connection: Connection) -> None:
                context.services[name] = rows.add(connection, context.store.place, spec, state, at=wall)
                known = store.get(connection, context.store.place, name)
                store.put(connection, context.store.place, replace(view, generation=known.view.generation if known else 0), at=wall)

            if not context.record(write):
                raise Refused(f"the store could not be written ({context.note})", "try again", permanent=False)
        self._supervisor.apply(name, supervise.started(context.services[name].state, context.clock.now()))
        return {"name": name}

    def _close(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        self._row(name)
        self._bring_down(name, why="closed by hand")
        return {"name": name}

    def _bring_down(self, name: str, *, why: str) -> None:
        self._supervisor.drop_incident(name)
        self._supervisor.apply(name, supervise.stopped(self._c.services[name].state, self._c.clock.now(), why=why))

    def _test(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        row = self._row(name)
        self._c.wire.send(name, row.state.incarnation, Probe())
        return {"name": name}

    def _follow(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        context = self._c
        follower: Follower = msgspec.convert(args.get("follower"), Follower)
        kind = context.kinds(KIND)
        assert isinstance(kind, Followable)
        kind.check_follower(follower)
        keys: list[str] = []
        if not context.record(lambda connection: keys.append(store.follow(connection, context.store.place, name, follower))):
            raise Refused(f"the store could not be written ({context.note})", "try again", permanent=False)
        self._untold.add(name)
        self._tell()
        return {"key": keys[-1]}

    def _unfollow(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        found: list[bool] = []
        self._c.record(lambda connection: found.append(store.unfollow(connection, self._c.store.place, name, str(args.get("key")))))
        if not any(found):
            raise NotFound(f'nothing called "{args.get("key")}" follows the tunnel {name}', "qcity links list shows what does")
        self._untold.add(name)
        self._tell()
        return {"key": args.get("key")}

    def _row(self, name: str) -> rows.ServiceRow:
        row = self._c.services.get(name)
        if row is None or row.spec.kind != KIND:
            raise NotFound(f'there is no tunnel "{name}"', "qcity tunnel list shows the ones there are")
        return row


def _is_news(row: FollowerRow, what: Followed) -> bool:
    """Whether a person would want to read it: not that a pointer was renewed once more, nor that the same thing failed again."""
    last = row.last
    if what.ok and isinstance(row.follower, Binding):
        return what.changed > 0
    return last is None or (last.ok, last.generation) != (what.ok, what.generation)
