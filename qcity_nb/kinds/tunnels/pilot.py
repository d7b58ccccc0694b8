"""The pilot: the one process of each tunnel. It asks providers, proves addresses, tells what follows them, and says what happened.

It goes on while no engine lives; what it said meanwhile is read by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from ...decide import tunnel as decide
from ...decide.redact import redact
from ...io.files import write_atomic
from ...io.post import BEAT, Post
from ...model.home import Home
from ...model.line import Announce, Answered, App, Ask, Drop, Event, Line, Look, Missed, Prove, Tick
from ...model.tunnel import Reach, Tried, TunnelPlan, TunnelState, TunnelView
from ...model.wire import Follow, Hello, Probe, TunnelMoved
from ...ports import TunnelProvider
from .door import Door
from .followers import Followers
from .sessions import Sessions, say

FIGURES = timedelta(seconds=10)
"""The time between two reports of nothing but figures."""
KNOCK = timedelta(seconds=2)
FIRST_WORD = 3.0
"""Seconds that the engine is given to say which addresses there were, before the first one is announced."""


class Pilot:
    """At work for one tunnel.

    Args:
        home: where everything lies.
        name: its service.
        incarnation: which life of the service this is.
        plan: what was asked for.
        load: gives a provider by its name.
    """

    def __init__(self, home: Home, name: str, incarnation: int, plan: TunnelPlan, *, load: Callable[[str], TunnelProvider]) -> None:
        self._home, self._plan = home, plan
        self._post = Post(home, name, incarnation)
        self._door = Door(plan.port)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._sessions = Sessions(plan, home, self._door, load=load, tell=self._events.put_nowait, now=self._now)
        self._followers = Followers(plan.name, home, self._post.facts.send)
        self._offset = datetime.now(timezone.utc) - timedelta(seconds=time.monotonic())
        self._line = decide.begin(plan, self._now())
        self._told: TunnelView | None = None
        self._told_at, self._knocked = self._now(), self._now() - KNOCK
        self._count = home.service(name) / "generation"
        self._over = False
        self._asked = False  # somebody waits for the figures

    def _now(self) -> datetime:
        return self._offset + timedelta(seconds=time.monotonic())

    async def run(self) -> None:
        """Until SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_reader(self._post.bell.fd, self._rung)
        await self._sessions.begin()
        self._post.facts.send(Hello(sandbox="none"))
        beating = asyncio.ensure_future(self._beat())
        await self._first_word()
        self._step(App(up=await self._door.knock()))
        while not self._over:
            wait = (decide.deadline(self._line, self._now()) - self._now()).total_seconds()
            event: Event = Tick()
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                event = await asyncio.wait_for(self._events.get(), max(wait, 0.005))
            if not self._over:
                self._step(event)
        beating.cancel()
        await self._sessions.close()
        self._followers.moved("", self._line.generation, "closed")
        await asyncio.to_thread(self._followers.close)
        self._post.close()

    async def _first_word(self) -> None:
        """Which generations there were has to be known before another one is counted."""
        end = time.monotonic() + FIRST_WORD
        while not self._followers.known and not self._over and time.monotonic() < end:
            self._rung()
            await asyncio.sleep(0.01)
        self._line = decide.begin(self._plan, self._now(), generation=max(self._followers.generation, self._counted()))

    def _counted(self) -> int:
        """The last generation that a pilot of this tunnel used here: a store that took nothing may not know it."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._count.read_text())
        return 0

    def _end(self) -> None:
        self._over = True
        self._events.put_nowait(Tick())

    def _rung(self) -> None:
        """The engine said something."""
        self._post.bell.clear()
        for order in self._post.orders():
            if isinstance(order, Follow):
                self._followers.follow(order)
            elif isinstance(order, Probe):
                self._followers.again()
                self._asked = True
                self._events.put_nowait(Look())

    async def _beat(self) -> None:
        while True:
            self._post.beat()
            self._post.facts.flush()
            self._followers.renew(serving=self._line.state in (TunnelState.UP, TunnelState.SUSPECT, TunnelState.APP_DOWN))
            if self._now() - self._knocked >= KNOCK:
                self._knocked = self._now()
                self._events.put_nowait(App(up=await self._door.knock()))
            await asyncio.sleep(BEAT)

    def _step(self, event: Event) -> None:
        before = self._line
        self._line, acts = decide.step(before, event, self._now())
        for act in acts:
            if isinstance(act, Ask):
                self._sessions.ask(act.number, act.provider)
            elif isinstance(act, Prove):
                self._sessions.prove(act.number, act.patience)
            elif isinstance(act, Drop):
                self._sessions.drop(act.number)
            else:
                self._announce(act)
        answers = self._asked and isinstance(event, (Answered, Missed))
        self._asked = self._asked and not answers
        self._say(decide.story(before, self._line), at_once=answers)

    def _announce(self, act: Announce) -> None:
        serving = self._line.serving
        session = self._sessions.session(serving.number) if serving else None
        with contextlib.suppress(OSError):  # a full disk: the store has the number, too
            write_atomic(self._count, str(act.generation))
        whole = urlsplit(act.url).path in ("", "/")
        written = whole and session is not None and session.reach in (Reach.PUBLIC, Reach.MACHINE)
        self._followers.moved(act.url, act.generation, act.why, written=written)

    def _say(self, story: str, *, at_once: bool) -> None:
        """Report what changed at once, mere figures now and then."""
        view = self._view()
        if story:
            say(redact(story))
        same = self._told is not None and decide.same(view, self._told)
        if story or not same or (view != self._told and (at_once or self._now() - self._told_at >= FIGURES)):
            self._told, self._told_at = view, self._now()
            self._post.facts.send(TunnelMoved(view=view, story=redact(story)))

    def _view(self) -> TunnelView:
        line: Line = self._line
        serving = line.serving
        session = self._sessions.session(serving.number) if serving else None
        until = line.begun + timedelta(seconds=self._plan.ttl) if self._plan.ttl is not None else None
        tried: tuple[Tried, ...] = tuple(line.out[name] for name in self._plan.chain if name in line.out)
        return TunnelView(
            name=self._plan.name,
            state=line.state,
            since=line.since,
            port=self._plan.port,
            url=serving.url if serving else "",
            provider=serving.provider if serving else "",
            generation=line.generation,
            reach=session.reach if session else None,
            latency=serving.latency if serving else None,
            proved=serving.proved if serving else None,
            until=until,
            binary=session.binary if session else "",
            tried=tried,
            reason=redact(line.reason),
        )
