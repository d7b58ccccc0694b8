"""Calls to a forge over HTTP: `decide.rest` says what to make of an answer, here it is sent, waited for and kept for revalidation.

Every call has a timeout; a redirect to another origin loses its credentials; unchanged answers are asked for by ETag and cost nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import requests

from ...decide import rest
from ...decide.rest import Again, Answer, Ask, Lost
from ...errors import PlatformError, Refused

T = TypeVar("T")

TIMEOUT = (5.0, 20.0)
"""Seconds to connect, and between two bytes."""
KEPT = 256
REDIRECTS = 3
PAGES = 100
CHUNK = 1 << 16


class Caller:
    """One platform, one token.

    Args:
        base: the API's address, without a final slash.
        headers: sent with every call to this origin; the token is among them and nowhere else.
        who: the platform's name, for people.
        pause: waits between two attempts; tests give another.
    """

    def __init__(self, base: str, headers: Mapping[str, str], *, who: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.base, self.who = base.rstrip("/"), who
        self._headers, self._pause = dict(headers), pause
        self._session = requests.Session()
        self._session.trust_env = True
        self._kept: OrderedDict[str, tuple[str, Answer]] = OrderedDict()  # by address; one token only, so the token is part of the key
        self.skew: timedelta | None = None
        self.calls = self.free = 0

    def get(self, path: str, kind: type[T], **params: str) -> T:
        """One object. Raises `PlatformError`."""
        return self._decode(self._call(Ask(method="GET", path=path, params=params)), kind)

    def pages(self, path: str, kind: type[T], **params: str) -> Iterator[T]:
        """Every page of a list, at most a hundred of them. Raises `PlatformError`."""
        ask = Ask(method="GET", path=path, params={"per_page": "100", **params})
        for _ in range(PAGES):
            answer = self._call(ask)
            yield self._decode(answer, kind)
            follow = rest.next_page(answer)
            if not follow:
                return
            ask = Ask(method="GET", path=follow)

    def send(self, method: str, path: str, kind: type[T], body: object | None = None) -> T:
        """A call that changes something; a body of bytes is lines of JSON and sent as it is. Raises `PlatformError`."""
        return self._decode(self._call(Ask(method=method, path=path, body=body)), kind)

    def text(self, path: str) -> str:
        """A text, after redirects (a job's log). Raises `PlatformError`."""
        return self._call(Ask(method="GET", path=path)).body.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _decode(self, answer: Answer, kind: type[T]) -> T:
        if kind is type(None):
            return None  # type: ignore[return-value,unused-ignore]  # T is None here
        try:
            return msgspec.convert(_told(msgspec.json.decode(answer.body)), type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise PlatformError(f"{self.who} gave an answer that cannot be read ({error})", "It is asked again by itself", kind="garbled") from error

    def _call(self, ask: Ask) -> Answer:
        for attempt in range(1, rest.ATTEMPTS + 1):
            got = self._once(ask)
            if isinstance(got, Answer):
                self.skew = rest.skew(got) or self.skew
            verdict = rest.judge(ask, got, attempt=attempt, who=self.who)
            if isinstance(verdict, Answer):
                return verdict
            assert isinstance(verdict, Again)
            self._pause(verdict.after)
        raise AssertionError("judge ends the last attempt")

    def _once(self, ask: Ask) -> Answer | Lost:
        url = ask.path if "://" in ask.path else f"{self.base}{ask.path}"
        key = requests.Request("GET", url, params=dict(ask.params)).prepare().url or url
        kept = self._kept.get(key) if ask.method == "GET" else None
        more = {"If-None-Match": kept[0]} if kept else {}
        try:
            answer = self._follow(ask, url, more)
        except (requests.RequestException, OSError) as error:
            return lost(error)
        if answer.status == 304 and kept:
            self.free += 1
            self._kept.move_to_end(key)
            return Answer(status=200, headers={**kept[1].headers, **answer.headers}, body=kept[1].body, at=answer.at)
        if ask.method == "GET" and answer.status == 200 and (tag := answer.headers.get("etag")):
            self._kept[key] = (tag, answer)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _follow(self, ask: Ask, url: str, more: Mapping[str, str]) -> Answer:
        params: Mapping[str, str] | None = ask.params
        for _ in range(REDIRECTS + 1):
            ours = _origin(url) == _origin(self.base)
            self.calls += 1
            body = ask.body if ask.body is None or isinstance(ask.body, bytes) else msgspec.json.encode(ask.body)
            form = {"Content-Type": "application/x-ndjson" if body is ask.body else "application/json"} if body is not None else {}
            headers = {**self._headers, **more, **form} if ours else {}
            reply = self._session.request(
                ask.method, url, params=dict(params or {}), data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            )
            answer = Answer(
                status=reply.status_code,
                headers={name.lower(): value for name, value in reply.headers.items()},
                body=reply.content,
                at=datetime.now(timezone.utc),
            )
            target = urljoin(url, answer.headers.get("location", ""))
            if target == url or not rest.follows(ask, answer, home=_origin(target) == _origin(self.base)):
                return answer
            url, params, more = target, None, {}
        return answer


def _told(node: object) -> object:
    """What a reply says: a null says no more than a key that is not there, and platforms give either."""
    if isinstance(node, dict):
        return {key: _told(value) for key, value in node.items() if value is not None}
    return [_told(one) for one in node if one is not None] if isinstance(node, list) else node


def lost(error: Exception) -> Lost:
    """Which layer of the network failed, from what `requests` raised."""
    text, chain = str(error), _chain(error)
    if any(isinstance(one, requests.exceptions.ProxyError) for one in chain):
        return Lost(layer="proxy", text=text, sent=False)
    if any(isinstance(one, (ssl.SSLError, requests.exceptions.SSLError)) for one in chain):
        return Lost(layer="tls", text=text, sent=False)
    if any(isinstance(one, socket.gaierror) for one in chain) or "NameResolution" in text or "resolve" in text.lower():
        return Lost(layer="dns", text=text, sent=False)
    if any(isinstance(one, (ConnectionRefusedError, requests.exceptions.ConnectTimeout)) for one in chain) or "NewConnectionError" in text:
        return Lost(layer="tcp", text=text, sent=False)
    return Lost(layer="http", text=text)


def path_fails_at(url: str, *, seconds: float = 5.0) -> str:
    """The first layer on the way to an address that does not work: dns, tcp, tls; empty when all do. A proxy is not looked behind."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return ""
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return "dns"
    try:
        with contextlib.closing(socket.create_connection((host, port), timeout=seconds)) as plain:
            if parts.scheme != "https":
                return ""
            try:
                trusted = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
                with trusted.wrap_socket(plain, server_hostname=host):
                    return ""
            except (ssl.SSLError, OSError):
                return "tls"
    except OSError:
        return "tcp"


def skew_at(url: str, *, seconds: float = 5.0) -> timedelta | None:
    """Our clock minus that of whoever answers at an address, without a token; None when it does not say."""
    try:
        reply = requests.head(url, timeout=seconds, allow_redirects=False)
    except requests.RequestException:
        return None
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return rest.skew(Answer(status=reply.status_code, headers=headers, body=b"", at=datetime.now(timezone.utc)))


def download(url: str, to: Path, *, sha256: str, headers: Mapping[str, str] | None = None, who: str) -> None:
    """Put what is at an address into a file, if its checksum is right; else nothing is left.

    Raises:
        Refused: there is no checksum to hold it against, or it differs.
        PlatformError: it could not be fetched.
    """
    if not sha256:
        raise Refused(f"{who} gives no checksum for {url.rpartition('/')[2]}", "It is not installed: nobody could say what it is")
    part, seen = to.with_name(f".{to.name}.{os.getpid()}"), hashlib.sha256()
    try:
        with requests.get(url, headers=dict(headers or {}), stream=True, timeout=TIMEOUT) as reply:
            if reply.status_code != 200:
                what = f"{who} answered {reply.status_code} to the download of {url.rpartition('/')[2]}"
                raise PlatformError(what, "It is tried again", kind="server")
            with part.open("wb") as file:
                for chunk in reply.iter_content(CHUNK):
                    seen.update(chunk)
                    file.write(chunk)
        if seen.hexdigest() != sha256.lower():
            name, found, wanted = url.rpartition("/")[2], seen.hexdigest()[:12], sha256[:12].lower()
            what = f"the download {name} is not what {who} says it is (SHA-256 {found}…, not {wanted}…)"
            raise Refused(what, "It was thrown away; a proxy may have changed it")
        os.replace(part, to)
    except requests.RequestException as error:
        raise rest.lost(lost(error), who) from error
    finally:
        part.unlink(missing_ok=True)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        reason = getattr(error, "reason", None) or (error.args[0] if error.args and isinstance(error.args[0], BaseException) else None)
        error = reason if isinstance(reason, BaseException) else (error.__cause__ or error.__context__)
    return found
