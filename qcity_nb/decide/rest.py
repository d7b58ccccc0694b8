"""How a forge's answers are read, without any I/O: what is done, what may be asked again and when, and which error a person gets.

Only what is safe to repeat is repeated. Sources: GitHub "Best practices for using the REST API" and "Rate limits"; GitLab "REST API" (pagination,
status codes); RFC 9110 (idempotent methods, Retry-After, Date) and RFC 8288 (Link).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from ..errors import PlatformError
from .redact import redact
from .wording import line, span

ATTEMPTS = 3
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
PATIENCE = 5.0
"""A wait that the platform asks for and that is longer than this is given back to the caller, who has other things to do."""

_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. `path` is below the base address, or a whole address for the next page."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: object | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; header names in lower case. `at` is our wall clock when it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Nothing came back: the layer of the network that failed, in what words, and whether the request can have reached the platform."""

    layer: str
    text: str
    sent: bool = True


@dataclass(frozen=True, kw_only=True)
class Again:
    """Ask again after so many seconds."""

    after: float


def judge(ask: Ask, answer: Answer | Lost, *, attempt: int, who: str) -> Answer | Again:
    """What to make of an answer.

    Args:
        attempt: 1 for the first.
        who: the platform's name, for people.

    Raises:
        PlatformError: it refused, or gave no usable answer after all attempts.
    """
    repeat = attempt < ATTEMPTS
    if isinstance(answer, Lost):
        if repeat and (ask.method in REPEATABLE or not answer.sent) and answer.layer != "tls":
            return Again(after=0.5 * 2 ** (attempt - 1))
        raise lost(answer, who)
    if answer.status < 300 or answer.status == 304:
        return answer
    wait = _wait(answer)
    if answer.status >= 500 and repeat and ask.method in REPEATABLE:
        return Again(after=min(wait if wait is not None else 0.5 * 2 ** (attempt - 1), PATIENCE))
    if _limited(answer):
        if repeat and wait is not None and wait <= PATIENCE:
            return Again(after=wait)
        text = f"{who} asks us to wait {span(wait)}" if wait else f"{who} asks us to wait"
        raise PlatformError(text, "Nothing is lost; it is asked again by itself", kind="limited", retry_after=wait)
    raise refusal(ask, answer, who)


def lost(answer: Lost, who: str) -> PlatformError:
    """The error for a platform that cannot be reached, with the layer of the network that fails."""
    todo = {
        "dns": "Check the address and this machine's name servers",
        "tcp": "Check the network and its firewall",
        "tls": "Its certificate is not trusted here: a proxy with a certificate of its own needs REQUESTS_CA_BUNDLE",
        "proxy": "Check HTTPS_PROXY and what the proxy allows",
        "http": "It is asked again by itself",
    }
    what = f"{who} cannot be reached ({answer.layer}: {line(answer.text, limit=160)})"
    return PlatformError(what, todo[answer.layer], kind="unreachable", layer=answer.layer)


def refusal(ask: Ask, answer: Answer, who: str) -> PlatformError:
    """The error for a refusal, with the permission that its own header names."""
    said, headers = message(answer), answer.headers
    needed = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes") or ""
    needs = f"It needs: {needed.replace('=', ' ')}" if needed else "Check what the token may do"
    what, about = f"{who} answered {answer.status}", f" to {ask.method} {line(ask.path.partition('?')[0], limit=120)}"
    tail = f": {said}" if said else ""
    status, low = answer.status, said.lower()
    if status == 401:
        todo = "It is wrong or has expired: give another one"
        return PlatformError(f"{who} does not accept the token (401{tail})", todo, kind="unauthorized", needed=needed)
    if status == 403:
        return PlatformError(f"the token may not do this at {who} (403{about}{tail})", needs, kind="forbidden", needed=needed)
    if status == 404:
        todo = needs if needed else "It does not exist, or the token cannot see it"
        return PlatformError(f"{who} knows nothing there that this token can see (404{about})", todo, kind="not_found", needed=needed)
    if status == 409 or "already exists" in low or "exists with the same name" in low or "already been taken" in low:
        return PlatformError(f"{what}{about}{tail}", "The name is taken: choose another one, or remove the old runner", kind="conflict")
    if status == 422 and ("busy" in low or "running a job" in low):
        return PlatformError(f"{who} keeps it because it is running a job (422{about})", "It is tried again when the job is over", kind="busy")
    if 300 <= status < 400:
        moved = line(headers.get("location", "") or "somewhere else", limit=120)
        return PlatformError(f"{what}{about}: it has moved to {moved}", "Give the new address or name", kind="invalid")
    if status >= 500:
        return PlatformError(f"{what}{about}{tail}", "It has trouble of its own; it is asked again by itself", kind="server")
    return PlatformError(f"{what}{about}{tail}", "", kind="invalid", needed=needed)


def message(answer: Answer) -> str:
    """What the platform says in its reply, short and without secrets."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    text = found.get("message") or found.get("error_description") or found.get("error") or ""
    more = found.get("errors")
    if isinstance(more, list) and more:
        text = f"{text}{': ' if text else ''}{'; '.join(map(_detail, more))}"
    return redact(line(str(text), limit=200))


def _detail(one: object) -> str:
    """One of several things that are wrong: GitHub gives a message, or a field and a code (`invalid`, `missing_field`, `already_exists`)."""
    if not isinstance(one, dict):
        return str(one)
    return str(one.get("message") or " ".join(str(one[key]) for key in ("resource", "field", "code") if one.get(key)))


def follows(ask: Ask, answer: Answer, *, home: bool) -> bool:
    """Whether a redirect is followed: what only reads anywhere, what changes something only where it stays the same call to the same origin.

    Args:
        home: whether it leads to the origin that was asked.
    """
    if ask.method in ("GET", "HEAD"):
        return answer.status in (301, 302, 303, 307, 308)
    return home and answer.status in (307, 308)


def next_page(answer: Answer) -> str:
    """The address of the next page; empty after the last."""
    found = _NEXT.search(answer.headers.get("link", ""))
    return found[1] if found else ""


def skew(answer: Answer) -> timedelta | None:
    """Our wall clock minus the platform's, from its Date header (whole seconds)."""
    try:
        return answer.at - parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError, TypeError):
        return None


def _limited(answer: Answer) -> bool:
    if answer.status == 429:
        return True
    spent = answer.headers.get("x-ratelimit-remaining") == "0"
    return answer.status == 403 and (spent or "retry-after" in answer.headers or "secondary rate limit" in message(answer).lower())


def _wait(answer: Answer) -> float | None:
    """Seconds that the platform asks us to wait: Retry-After first, then the reset of the limit."""
    after = answer.headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    reset = answer.headers.get("x-ratelimit-reset") or answer.headers.get("ratelimit-reset") or ""
    if reset.isdigit() and answer.headers.get("x-ratelimit-remaining", answer.headers.get("ratelimit-remaining")) == "0":
        theirs = answer.at - (skew(answer) or timedelta(0))
        return max(1.0, float(reset) - theirs.timestamp())
    return None
