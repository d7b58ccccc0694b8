"""The acts of a tunnel: providers are asked, addresses are proved, trials are dropped. What came of each is an event."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from ...errors import QCityError, TunnelError
from ...model.home import Home
from ...model.line import Answered, Event, Failed, Given, Missed
from ...model.tunnel import Fault, TunnelPlan
from ...ports import Proving, Target, TunnelProvider, TunnelSession
from .door import Door
from .proof import ask

LATE = 0.5
"""Seconds that a provider is given beyond its deadline to clean up after itself."""
OWN_WORD = 10.0
"""Seconds between two questions to a provider's own agent, where its address is asked rarely."""
PROBES = 16
"""Probes that may be under way at once; those that hang end by their own timeouts."""


class Sessions:
    """What is open of one tunnel.

    Args:
        plan: what was asked for.
        home: credentials, and folders for the providers.
        door: where all of them lead.
        load: gives a provider by its name.
        tell: called with each event, in the loop's thread.
        now: the clock that events are stamped with.
    """

    def __init__(
        self,
        plan: TunnelPlan,
        home: Home,
        door: Door,
        *,
        load: Callable[[str], TunnelProvider],
        tell: Callable[[Event], None],
        now: Callable[[], datetime],
    ) -> None:
        self._plan, self._home, self._door, self._load, self._tell, self._now = plan, home, door, load, tell, now
        self._port = 0
        self._tasks: dict[int, set[asyncio.Task[None]]] = {}
        self._open: dict[int, TunnelSession] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(PROBES, thread_name_prefix="qcity-probe")

    async def begin(self) -> None:
        """Open the door."""
        self._port = await self._door.open()

    def session(self, number: int) -> TunnelSession | None:
        """A session that is open."""
        return self._open.get(number)

    def ask(self, number: int, provider: str) -> None:
        """Have a provider give an address."""
        self._run(number, self._ask(number, provider))

    def prove(self, number: int, patience: float) -> None:
        """Ask a nonce through an address."""
        if number in self._open:
            self._run(number, self._prove(number, self._open[number], patience))

    def drop(self, number: int) -> None:
        """End a trial."""
        for task in self._tasks.pop(number, set()):
            task.cancel()
        if (session := self._open.pop(number, None)) is not None:
            task = asyncio.ensure_future(_closed(session))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End everything."""
        for number in list(self._tasks | self._open):
            self.drop(number)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._door.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, number: int, what: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._guarded(number, what))
        self._tasks.setdefault(number, set()).add(task)
        task.add_done_callback(lambda done: self._tasks.get(number, set()).discard(done))

    async def _guarded(self, number: int, what: Awaitable[None]) -> None:
        """A provider's own fault is no reason for the others to end."""
        try:
            await what
        except TunnelError as error:
            self._tell(Failed(number=number, fault=error.fault, text=error.what, todo=error.todo, after=error.retry_after))
        except QCityError as error:
            fault = Fault.MISSING if error.permanent else Fault.OTHER
            self._tell(Failed(number=number, fault=fault, text=error.what, todo=error.todo))
        except Exception as error:  # noqa: BLE001 - of a provider or its library: printed, and said
            traceback.print_exc()
            self._tell(Failed(number=number, fault=Fault.OTHER, text=f"it failed ({error!r})"))

    async def _ask(self, number: int, name: str) -> None:
        provider = self._load(name)
        folder = self._home.service(self._plan.name) / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._target(name, folder)
        provider.check(target.options)
        begun = time.monotonic()
        try:
            session = await asyncio.wait_for(provider.open(target), target.deadline + LATE)
        except (asyncio.TimeoutError, TimeoutError):
            raise TunnelError(f"it gave no address within {target.deadline:.0f} s", fault=Fault.DEADLINE) from None
        if number not in self._tasks:  # it was dropped in the very moment in which it opened
            await _closed(session)
            return
        self._open[number] = session
        self._run(number, self._watch(session))
        if session.every > 1:
            self._run(number, self._listen(session))
        say(f"{name}: {session.url} after {time.monotonic() - begun:.2f} s")
        self._tell(Given(number=number, url=session.url, every=session.every))

    def _target(self, name: str, folder: Path) -> Target:
        mine: Mapping[str, str] = {
            key.partition(".")[2]: value for key, value in self._plan.options.items() if key.partition(".")[0] == name and "." in key
        }
        return Target(name=self._plan.name, port=self._port, folder=folder, home=self._home, options=mine, deadline=self._plan.deadline)

    async def _watch(self, session: TunnelSession) -> None:
        raise await session.lost()

    async def _listen(self, session: TunnelSession) -> None:
        while True:
            await asyncio.sleep(OWN_WORD)
            if (error := await session.unwell()) is not None:
                raise error

    async def _prove(self, number: int, session: TunnelSession, patience: float) -> None:
        asked, answer = self._now(), self._door.answer
        prove = session.prove if isinstance(session, Proving) else None  # what is no tunnel of ours is proved in a way of its own
        loop = asyncio.get_running_loop()
        if prove is None:
            question = loop.run_in_executor(self._threads, lambda: ask(session.url, answer, headers=session.headers, patience=patience))
        else:
            question = loop.run_in_executor(self._threads, lambda: prove(answer, patience))
        question.add_done_callback(lambda done: done.cancelled() or done.exception())  # one that comes too late is not missed
        try:
            latency = await asyncio.wait_for(asyncio.shield(question), patience)
        except (asyncio.TimeoutError, TimeoutError):
            self._tell(Missed(number=number, asked=asked, fault=Fault.SILENT, text=f"nothing came back within {patience:.1f} s"))
        except TunnelError as error:
            self._tell(Missed(number=number, asked=asked, fault=error.fault, text=error.what))
        else:
            self._tell(Answered(number=number, asked=asked, latency=latency))


def say(text: str) -> None:
    """One line in the service's log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _closed(session: TunnelSession) -> None:
    with contextlib.suppress(Exception):  # whatever is wrong with it, it ends with our process at the latest
        await session.close()
