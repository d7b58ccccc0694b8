"""The contract suite of `ports.TunnelProvider`: every provider passes it, and one of your own does when you subclass it.

The app behind the tunnel is on loopback and answers every path with itself, so that a random one is a proof.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets as randomness
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import requests

from ..errors import BadInput, TunnelError
from ..model.home import Home
from ..model.tunnel import Fault, Reach
from ..ports import Target, TunnelProvider, TunnelSession
from .edge import NonceApp

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds in which anything has to have happened on a busy machine; what it took is printed."""
SLACK = 0.5
"""Seconds that a start may take past its deadline."""


class TunnelContract:
    """What every kind of provider promises.

    `died`: the fault when what it hangs on is killed. `bad`: options of which each cannot be meant. `once`: seconds that two openings may take.
    """

    died: tuple[Fault, ...] = (Fault.DIED,)
    bad: tuple[Mapping[str, str], ...] = ({"no-such-option": "1"},)
    has_program = True

    @abstractmethod
    def provider(self) -> TunnelProvider:
        """A new one."""

    @abstractmethod
    def options(self) -> Mapping[str, str]:
        """Options with which it opens."""

    @abstractmethod
    def kill(self) -> None:
        """Kill (-9) what the address that was opened last hangs on: the agent, or the server."""

    @abstractmethod
    def silent(self) -> Mapping[str, str] | None:
        """Options with which a start says nothing and never ends; None where that cannot be."""

    def missing(self) -> Mapping[str, str] | None:
        """Options that name a program, a key or a token that is not there; None where nothing is needed."""
        return None

    @pytest.fixture(autouse=True)
    def _surroundings(self, tmp_path: Path) -> Iterator[None]:
        """An app, a home, folders; at the end nothing that was started lives."""
        self.root, self.home, self.app = tmp_path, Home(tmp_path / "home"), NonceApp()
        self.home.root.mkdir(exist_ok=True)
        before = {one.pid for one in psutil.Process().children(recursive=True)}
        self.prepare()
        try:
            yield
        finally:
            self.app.close()
            self.clean_up()
        left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before and one.status() != psutil.STATUS_ZOMBIE]
        assert not left, left

    def prepare(self) -> None:
        """What has to be there before."""

    def clean_up(self) -> None:
        """What has to go after."""

    def target(self, *, name: str = "one", options: Mapping[str, str] | None = None, deadline: float = 15.0, port: int = 0) -> Target:
        """Where a tunnel is to lead: to the app."""
        return Target(
            name=name,
            port=port or self.app.port,
            folder=self.root / "tunnels" / name,
            home=self.home,
            options=self.options() if options is None else options,
            deadline=deadline,
        )

    def with_session(self, work: Callable[[TunnelSession], Coroutine[Any, Any, T]], **target: Any) -> T:
        """Do something with an open session, and close it."""

        async def run() -> T:
            session = await self.provider().open(self.target(**target))
            try:
                return await work(session)
            finally:
                await session.close()

        return asyncio.run(run())

    async def ask(self, session: TunnelSession, path: str = "") -> str:
        """Ask for a random path through the address; what came back."""
        nonce = path or f"/{randomness.token_hex(16)}"

        def get() -> str:
            reply = requests.get(session.url + nonce, headers=dict(session.headers), timeout=PATIENCE)
            return f"{reply.status_code} {reply.text}"

        return (await asyncio.to_thread(get)).replace(nonce, "NONCE")

    def processes(self) -> list[str]:
        """What lives below us."""
        found = []
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if one.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(one.cmdline()))
        return sorted(found)

    def test_it_opens_and_a_nonce_comes_back(self) -> None:
        """With what it says of itself: who can reach it, how often it may be asked, which program it is."""

        async def work(session: TunnelSession) -> None:
            assert await self.ask(session) == "200 NONCE"
            assert session.url.startswith(("http://", "https://"))
            assert not session.url.endswith("/")
            assert isinstance(session.reach, Reach)
            assert session.every > 0
            assert await session.unwell() is None
            assert bool(session.binary) == self.has_program, session.binary
            if self.has_program:
                assert "SHA-256" in session.binary
                assert "version" in session.binary

        began = time.monotonic()
        self.with_session(work)
        print(f"{type(self).__name__}: opened, asked and closed in {time.monotonic() - began:.2f} s")  # noqa: T201  # a measured figure

    def test_many_visitors_at_once_get_their_own_answers(self) -> None:
        """More than a provider has connections for."""

        async def work(session: TunnelSession) -> None:
            assert await asyncio.gather(*(self.ask(session) for _ in range(25))) == ["200 NONCE"] * 25

        self.with_session(work)

    def test_its_death_is_known_at_once(self) -> None:
        """By an event, with its fault, and the same when asked for again."""

        async def work(session: TunnelSession) -> float:
            losing = asyncio.ensure_future(session.lost())
            await self.ask(session)
            assert not losing.done()
            began = time.monotonic()
            self.kill()
            error = await asyncio.wait_for(losing, PATIENCE)
            took = time.monotonic() - began
            assert isinstance(error, TunnelError)
            assert error.fault in self.died, error
            assert error.todo
            assert (await asyncio.wait_for(session.lost(), PATIENCE)).fault == error.fault
            return took

        took = self.with_session(work)
        print(f"{type(self).__name__}: death known after {took:.3f} s")  # noqa: T201  # a measured figure

    def test_a_start_that_says_nothing_ends_at_its_deadline(self) -> None:
        """And leaves nothing."""
        options = self.silent()
        if options is None:
            pytest.skip("its start cannot say nothing")
        before = self.processes()
        began = time.monotonic()
        with pytest.raises(TunnelError) as caught:
            asyncio.run(self.provider().open(self.target(options=options, deadline=1.5)))
        took = time.monotonic() - began
        print(f"{type(self).__name__}: a hanging start ended {took - 1.5:.2f} s past its deadline")  # noqa: T201  # a measured figure
        assert caught.value.fault is Fault.DEADLINE, caught.value
        assert caught.value.todo
        assert took < 1.5 + SLACK + 1.0  # a second for a machine that is busy with other things
        assert self.processes() == before

    def test_a_start_that_is_cancelled_leaves_nothing(self) -> None:
        """At whatever moment."""
        before = self.processes()

        async def run(after: float) -> None:
            opening = asyncio.ensure_future(self.provider().open(self.target(name="cancelled")))
            await asyncio.wait({opening}, timeout=after)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                session = await opening
                await session.close()

        for after in (0.0, 0.005, 0.02, 0.05, 0.1):
            asyncio.run(run(after))
            assert self.processes() == before, after

    def test_closing_leaves_nothing(self) -> None:
        """Neither processes nor files, and closing again is fine; the app is not asked through it any more."""
        before = self.processes()

        async def work(session: TunnelSession) -> None:
            losing = asyncio.ensure_future(session.lost())
            await self.ask(session)
            await session.close()
            await session.close()
            losing.cancel()
            with contextlib.suppress(requests.RequestException):  # refused, or answered by somebody who knows no such tunnel
                assert "NONCE" not in await self.ask(session)

        self.with_session(work)
        assert len(self.app.asked) == 1
        assert self.processes() == before
        folder = self.root / "tunnels" / "one"
        assert not folder.exists() or not list(folder.iterdir())

    def test_two_at_once_do_not_know_each_other(self) -> None:
        """Each leads to its own port, and the end of one is not the end of the other."""
        other = NonceApp()

        async def run() -> None:
            one, two = await asyncio.gather(self.provider().open(self.target()), self.provider().open(self.target(name="two", port=other.port)))
            try:
                assert one.url != two.url
                assert await self.ask(one) == await self.ask(two) == "200 NONCE"
                assert len(self.app.asked) == len(other.asked) == 1
                await one.close()
                assert await self.ask(two) == "200 NONCE"
            finally:
                await one.close()
                await two.close()

        try:
            asyncio.run(run())
        finally:
            other.close()

    def test_an_app_that_is_down_is_not_a_tunnel_that_is_down(self) -> None:
        """It opens, stays open, and leads to the app when that is back."""

        async def work(session: TunnelSession) -> None:
            losing = asyncio.ensure_future(session.lost())
            with contextlib.suppress(requests.RequestException):
                assert "NONCE" not in await self.ask(session)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(losing), 0.3)
            assert not losing.done()
            losing.cancel()

        closed = NonceApp()
        closed.close()
        self.with_session(work, port=closed.port)

    def test_options_that_cannot_be_meant_are_a_sentence(self) -> None:
        """Before anything is started."""
        provider = self.provider()
        provider.check(self.options())
        for more in self.bad:
            with pytest.raises(BadInput) as caught:
                provider.check({**self.options(), **more})
            assert next(iter(more)).partition("-")[0] in caught.value.what, caught.value
            assert caught.value.todo
            with pytest.raises(BadInput):
                asyncio.run(provider.open(self.target(options={**self.options(), **more})))

    def test_what_is_missing_is_a_sentence(self) -> None:
        """With the way to get it."""
        options = self.missing()
        if options is None:
            pytest.skip("it needs nothing")
        with pytest.raises(TunnelError) as caught:
            asyncio.run(self.provider().open(self.target(options=options)))
        assert caught.value.fault is Fault.MISSING, caught.value
        assert caught.value.permanent
        assert caught.value.todo
        assert "\n" not in str(caught.value)
