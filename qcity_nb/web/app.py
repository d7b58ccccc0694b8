"""The page's requests and their answers. It shows facts and passes acts on to the client, each under the visitor's name; it decides nothing.

Open to everybody who can reach it: signing in, `/healthz` and `/badge.svg`, which say no names. `/metrics` needs a session or its token.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..client import board as facts
from ..client import served
from ..client.city import QCity
from ..client.tables import escape
from ..client.view import View, look
from ..decide import roles
from ..decide import web as decide
from ..decide.wording import line, sentence
from ..errors import QCityError
from ..store import sums
from ..ui import board_static
from ..ui.board_acts import Acts
from ..ui.painter import PAINTER
from . import badge, metrics, pages
from .guard import Guard, cookie_name
from .sessions import LIFE_SECONDS, Session, Sessions
from .stream import MOST, Events, Hub

BODY = 16 << 10
GLANCE_SECONDS = 1.0
UNKNOWN = "You are not signed in. Open a link: qcity serve link prints one."
TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
UI, OURS = "qcity_nb.ui", "qcity_nb.web"
FILES = {"board.js": UI, "board.css": UI, "page.js": OURS, "login.js": OURS, "page.css": OURS, "icon.svg": OURS}


class Site:
    """One served page.

    Args:
        city: the place, as this process's user.
        base: the path below which it is.
        hosts: more names under which it may be asked for.
        framed: whether JupyterLab may show it in a tab.
    """

    def __init__(self, city: QCity, sessions: Sessions, hub: Hub, *, base: str = "/", hosts: tuple[str, ...] = (), framed: bool = False) -> None:
        self._city, self._store, self._sessions, self._hub = city, city.link.store, sessions, hub
        self._base, self._named, self._framed = base, hosts, framed
        self._acts = Acts(city, lambda _: None, actor="")
        self._glance: tuple[float, View | str] = (-GLANCE_SECONDS, "")
        self._tunnels: tuple[float, list[str]] = (-GLANCE_SECONDS, [])
        self._lock = threading.Lock()
        self._files = {name: (resources.files(package) / "static" / name).read_bytes() for name, package in FILES.items()}

    def app(self) -> ASGIApp:
        """The whole, with its guard."""
        post = partial(Route, methods=["POST"])
        routes = [
            Route("/", self.page),
            Route("/login", self.login),
            post("/login", self.enter),
            post("/logout", self.leave),
            Route("/session", self.session),
            Route("/events", self.events),
            post("/act", self.act),
            Route("/log", self.log),
            Route("/audit", self.audit),
            Route("/healthz", self.healthz),
            Route("/metrics", self.metrics),
            Route("/badge.svg", self.badge),
            Route("/static/{name}", self.static),
        ]
        handlers: Mapping[Any, Any] = {HTTPException: _refused, QCityError: _failed, Exception: _crashed}
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        return Guard(inner, self._sessions, base=self._base, hosts=self.hosts, framed=self._framed)

    def hosts(self) -> tuple[str, ...]:
        """The names that were allowed, and those of tunnels that lead here now."""
        at, known = self._tunnels
        if time.monotonic() - at >= GLANCE_SECONDS:
            try:
                known = served.outside(self._store, self._sessions.port)
            except QCityError:
                known = []
            self._tunnels = time.monotonic(), known
        return (*self._named, *known)

    def page(self, request: Request) -> Response:
        """The board, or signing in."""
        session: Session | None = request.scope["qcity"]
        if session is None:
            return HTMLResponse(pages.login(), status_code=401)
        nonce = secrets.token_urlsafe(16)
        try:
            copy = board_static.page(facts.take(self._store))
        except QCityError as error:
            copy = f"<p>{escape(str(error))}</p>"
        headers = {"content-security-policy": decide.policy(nonce=nonce, framed=self._framed)}
        return HTMLResponse(pages.board(session, copy=copy, nonce=nonce), headers=headers)

    def login(self, request: Request) -> Response:
        """Signing in."""
        return HTMLResponse(pages.login())

    async def enter(self, request: Request) -> Response:
        """A token for a session: asked by a form or by a script."""
        plain = request.headers.get("content-type", "").startswith("application/json")
        given = (await _json(request)).get("token") if plain else await _field(request, "token")
        token = str(given or "").strip().rpartition("#")[2]
        found = await asyncio.to_thread(self._sessions.enter, token)
        if found is None:
            code = 429 if self._sessions.guessed() else 403
            return JSONResponse({"error": pages.DENIED}, status_code=code) if plain else HTMLResponse(pages.login(pages.DENIED), status_code=code)
        cookie, _ = found
        answer: Response = JSONResponse({"ok": True}) if plain else RedirectResponse("./", status_code=303)
        secure = request.url.scheme == "https" or self._is_secure(request.headers.get("host", ""))
        name, life = cookie_name(self._sessions.port), int(LIFE_SECONDS)
        answer.set_cookie(name, cookie, max_age=life, path=self._base, httponly=True, samesite="strict", secure=secure)
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session."""
        self._checked(request, await _field(request, "csrf"))
        name = cookie_name(self._sessions.port)
        self._sessions.leave(request.cookies.get(name, ""))
        answer = RedirectResponse("login", status_code=303)
        answer.delete_cookie(name, path=self._base, httponly=True, samesite="strict")
        return answer

    async def session(self, request: Request) -> Response:
        """Whether there still is one."""
        return JSONResponse({"role": self._who(request).role.value})

    async def events(self, request: Request) -> ASGIApp:
        """The stream."""
        session = self._who(request)
        if self._hub.guests >= MOST:
            raise HTTPException(503, "Too many look at this page now. It is tried again.")
        return Events(self._hub, request.headers.get("last-event-id", ""), good=lambda: self._sessions.is_good(session))

    async def act(self, request: Request) -> Response:
        """Do what a visitor asks for; answered when it is done."""
        session, message = self._checked(request), await _json(request)
        _needs(session, str(message.get("verb") or ""))
        if not session.acts.take():
            raise HTTPException(429, "That is too much at once. Wait a few seconds, then ask again.")
        loop, told = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        asked = self._acts.by(self._as(session), _once(loop, told), actor=session.actor)
        if asked.ask(message) is None:
            await asyncio.sleep(0)
            if not told.done():
                raise HTTPException(409, "That was asked already. Wait for its result.")
        return JSONResponse(await told)

    async def log(self, request: Request) -> Response:
        """The end of a runner's log."""
        return await self._told(request, "log", lambda acts: acts.log(request.query_params.get("name", "")))

    async def audit(self, request: Request) -> Response:
        """Who asked for what, for the master."""
        return await self._told(request, "audit", Acts.audit)

    async def _told(self, request: Request, act: str, ask: Callable[[Acts], None]) -> Response:
        """What the board tells when it is asked for, to whoever may have it."""
        session = self._who(request)
        _needs(session, act)
        loop, told = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        await asyncio.to_thread(ask, self._acts.by(self._as(session), _once(loop, told), actor=session.actor))
        return JSONResponse(await told)

    def healthz(self, request: Request) -> Response:
        """Whether the engine lives and the store can be read."""
        found = self._look()
        health = served.health(None, found) if isinstance(found, str) else served.health(found)
        return JSONResponse(health, status_code=200 if health["ok"] else 503)

    def metrics(self, request: Request) -> Response:
        """The place as Prometheus reads it."""
        shown = request.headers.get("authorization", "").partition(" ")[2].strip()
        if request.scope["qcity"] is None and not secrets.compare_digest(shown.encode(), served.metrics_token(self._store.home).encode()):
            raise HTTPException(401, "Metrics need a token: qcity serve says in which file it is", headers={"www-authenticate": "Bearer"})
        found = self._look()
        if isinstance(found, str):
            raise HTTPException(503, found)
        with self._store.read() as connection:
            finished, opened = sums.ended(connection, self._store.place), sums.opened(connection, self._store.place)
        return Response(metrics.text(found, finished=finished, opened=opened, visitors=self._hub.guests), media_type=metrics.TYPE)

    def badge(self, request: Request) -> Response:
        """The status as a picture."""
        found = self._look()
        picture = badge.svg(*badge.words(None if isinstance(found, str) else found))
        headers = {"cross-origin-resource-policy": "cross-origin", "cache-control": "no-cache, max-age=0"}  # a README of another site shows it
        return Response(picture, media_type=TYPES["svg"], headers=headers)

    async def static(self, request: Request) -> Response:
        """A file of the page; there are no others."""
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404, f'There is no file "{line(name, limit=60)}".')
        mark = f'"{hashlib.sha256(self._files[name]).hexdigest()[:16]}"'
        headers = {"etag": mark, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], media_type=TYPES[name.rpartition(".")[2]], headers=headers)

    def _who(self, request: Request) -> Session:
        session: Session | None = request.scope["qcity"]
        if session is None:
            raise HTTPException(401, UNKNOWN)
        return session

    def _checked(self, request: Request, given: str = "") -> Session:
        """Who asks, when it is our own page that does it for him."""
        session = self._who(request)
        if not secrets.compare_digest((given or request.headers.get("x-qcity-csrf", "")).encode(), session.csrf.encode()):
            raise HTTPException(403, "That was not sent by this page as it is now. Reload it, then do it again.")
        return session

    def _as(self, session: Session) -> QCity:
        link = self._city.link
        return QCity(self._store, link.host, say=link.say, painter=PAINTER, actor=session.actor)

    def _is_secure(self, host: str) -> bool:
        return any(url.startswith("https://") and decide.host_of(url) == decide.host_of(host) for url in self._tunnels[1])

    def _look(self) -> View | str:
        """The place, at most a second old, however many ask; why not, when it cannot be read."""
        with self._lock:
            if time.monotonic() - self._glance[0] >= GLANCE_SECONDS:
                try:
                    facts.there(self._store)
                    found: View | str = look(self._store)
                except QCityError as error:
                    found = str(error)
                self._glance = time.monotonic(), found
            return self._glance[1]


def _once(loop: asyncio.AbstractEventLoop, told: asyncio.Future[Any]) -> Callable[[dict[str, Any]], None]:
    """Takes an answer in any thread; who asked may have left."""

    def take(answer: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(lambda: None if told.done() else told.set_result(answer))

    return take


def _needs(session: Session, act: str) -> None:
    needed = roles.needs(act)
    if not session.role.covers(needed):
        raise HTTPException(403, f"That needs the role {needed.value}; your link is for {session.role.value}. Ask for another link.")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY:
            raise HTTPException(413, "That is more than this page takes.")
    return bytes(body)


async def _field(request: Request, name: str) -> str:
    return parse_qs((await _body(request)).decode("utf-8", "replace")).get(name, [""])[0]


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await _body(request))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "That is no JSON object.")
    return found


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: "There is nothing here. The page is at the top.", 405: "That cannot be done here."}
    text = texts.get(error.status_code, error.detail) if error.detail in ("Not Found", "Method Not Allowed") else error.detail
    return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)


def _failed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": sentence(str(error))}, status_code=503)


def _crashed(request: Request, error: Exception) -> Response:
    """A mistake of ours: said here and there, in one sentence."""
    print(f"qcity: the page failed over {request.method} {request.url.path} ({type(error).__name__}: {line(str(error))}).", file=sys.stderr)  # noqa: T201
    return JSONResponse({"error": "This is a mistake in the page itself; the terminal that serves it says more."}, status_code=500)
