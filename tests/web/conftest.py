"""A page that is served in this process, over the place and the engine that the dashboard's tests have, and people who have signed in to it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qcity_nb.client import served
from qcity_nb.client.city import QCity
from qcity_nb.decide.roles import Role
from qcity_nb.web import serve as serving
from qcity_nb.web.app import Site
from qcity_nb.web.sessions import Sessions
from qcity_nb.web.stream import Hub

_spec = importlib.util.spec_from_file_location("ui_scene", Path(__file__).parents[1] / "ui" / "conftest.py")
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
sqlite, place, engine, city, chromium, pictures = scene.sqlite, scene.place, scene.engine, scene.city, scene.chromium, scene.pictures


class Page:
    """A page on a thread of this process."""

    def __init__(self, city: QCity, *, key: str = "", base: str = "/", every: float = 0.25, hosts: tuple[str, ...] = ()) -> None:
        self.city, self.home = city, city.home
        self._socket = serving._listen("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url, self._base = f"http://127.0.0.1:{self.port}", base
        self.hub = Hub(city.link.store, every=every)
        self.sessions = Sessions(city.link.store.home, self.port, key=key)
        site = Site(city, self.sessions, self.hub, base=base, hosts=hosts, framed=bool(key))
        self._server = serving._server(site)
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._clients: list[httpx.Client] = []
        assert self._up.wait(60)  # a test that asks nothing would else end it before it has begun

    def _live(self) -> None:
        loop = asyncio.new_event_loop()  # not asyncio.run: where Colab's jupyter_client is, nest_asyncio has a run that closes no loop
        try:
            loop.run_until_complete(self._run())
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.hub.start()
        self._up.set()
        await self._server.serve(sockets=[self._socket])

    def token(self, role: str, **how: object) -> str:
        return served.issue(self.city.link.store.home, self.port, Role(role), **how)

    def client(self, **headers: str) -> httpx.Client:
        """Somebody who is not signed in."""
        made = httpx.Client(base_url=self.url + self._base, headers=headers, timeout=20)
        self._clients.append(made)
        return made

    def enter(self, role: str = "operator", name: str = "ada") -> httpx.Client:
        """Somebody who is; his requests carry what the page's own do."""
        client = self.client()
        assert client.post("/login", json={"token": self.token(role, name=name)}).json() == {"ok": True}
        client.headers["x-qcity-csrf"] = re.search('data-csrf="([^"]*)"', client.get("/").text)[1]
        return client

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        for client in self._clients:
            client.close()
        self._loop.call_soon_threadsafe(self.hub.close)
        self._server.should_exit = True
        self._thread.join(100)
        assert not self._thread.is_alive()
        self._socket.close()


@pytest.fixture
def serve(city) -> Iterator[object]:
    """Serves the place; as often as asked."""
    made: list[Page] = []

    def begin(**how: object) -> Page:
        made.append(Page(city, **how))
        return made[-1]

    yield begin
    for page in made:
        page.close()


@pytest.fixture
def page(serve) -> Page:
    return serve()


class Stream:
    """The events of one visitor, as an EventSource reads them."""

    def __init__(self, client: httpx.Client, after: str = "") -> None:
        self._how = client.stream("GET", "/events", headers={"last-event-id": after} if after else {})
        self.answer = self._how.__enter__()
        self._lines = self.answer.iter_lines()

    def next(self) -> tuple[str, str, dict]:
        """Kind, id and data of the next event."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return fields["event"], fields["id"], json.loads(fields["data"])
            else:
                fields = {}
        raise EOFError

    def close(self) -> None:
        self._how.__exit__(None, None, None)


@pytest.fixture
def listen() -> Iterator[object]:
    opened: list[Stream] = []

    def begin(client: httpx.Client, after: str = "") -> Stream:
        opened.append(Stream(client, after))
        return opened[-1]

    yield begin
    for stream in opened:
        stream.close()
