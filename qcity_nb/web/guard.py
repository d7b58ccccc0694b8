"""What stands before every request: the host it asks for, who sent it, who asks; and what every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..decide import web as decide
from .key import HEADER
from .sessions import Sessions

STRANGE = "This page is not served under that name. If it should be: qcity serve --allow-host NAME."
FOREIGN = "That was sent by another page, so nothing was done. Open this page itself and do it there."


def cookie_name(port: int) -> str:
    """Cookies know no ports, so the name does: two pages of one machine stay apart."""
    return f"qcity-{port}"


class Guard:
    """Around the page.

    Args:
        base: the path below which it is; it begins and ends with a slash. Requests may come with it or without.
        hosts: the names under which it may be asked for, as they are now.
        framed: whether JupyterLab may show it in a tab.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, *, base: str, hosts: Callable[[], Iterable[str]], framed: bool) -> None:
        self._app, self._sessions, self._base = app, sessions, base
        self._hosts, self._framed = hosts, framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no websocket is ever answered
        headers = Headers(scope=scope)
        if scope["path"].startswith(self._base) and self._base != "/":
            scope = {**scope, "path": scope["path"][len(self._base) - 1 :]}
        trusted = self._sessions.is_trusted(headers.get(HEADER, ""))
        host, origin = headers.get("host", ""), {name: headers[name] for name in ("host", "origin", "sec-fetch-site") if name in headers}
        why = ""
        if not trusted and not decide.is_ours(host, ()) and not decide.is_ours(host, await asyncio.to_thread(self._hosts)):
            why = STRANGE
        elif scope["method"] not in ("GET", "HEAD") and decide.is_foreign(origin, trusted=trusted):
            why = FOREIGN
        inner: ASGIApp = JSONResponse({"error": why}, status_code=421 if why == STRANGE else 403) if why else self._app
        scope["qcity"] = self._sessions.of(self._cookie(headers), headers.get(HEADER, ""))
        await inner(scope, receive, self._clothed(send))

    def _clothed(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**decide.HEADERS, "content-security-policy": decide.policy(framed=self._framed)}.items():
                    headers.setdefault(name, value)
            await send(message)

        return sending

    def _cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(self._sessions.port))
        except CookieError:
            return ""
        return found.value if found is not None else ""
