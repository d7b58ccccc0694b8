"""What is made of a link: from what was answered, from what a browser saw, and from the ledger of addresses that we issued. Pure.

Whoever is asked too often (429) or wants to know who asks (401, 403) says nothing about a link: that is UNKNOWN, never BROKEN.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ..model.linkcheck import Answer, Sight, Site, Verdict
from ..model.tunnel import Issued
from .health import Level
from .wording import line

Judged = tuple[Verdict, str]

_ERRORS: Mapping[str, Judged] = {
    "dns": (Verdict.BROKEN, "there is no host of that name"),
    "refused": (Verdict.BROKEN, "nobody listens there"),
    "tls": (Verdict.BROKEN, "its certificate is not good"),
    "loop": (Verdict.BROKEN, "it leads round in circles"),
    "invalid": (Verdict.BROKEN, "it is no address"),
    "timeout": (Verdict.UNKNOWN, "it did not answer in time"),
    "lost": (Verdict.UNKNOWN, "the connection broke off"),
}
_STATUSES: Mapping[int, Judged] = {
    401: (Verdict.UNKNOWN, "it asks who you are (401)"),
    403: (Verdict.UNKNOWN, "it lets no program in (403)"),
    404: (Verdict.BROKEN, "there is no such page (404)"),
    407: (Verdict.UNKNOWN, "the proxy asks who you are (407)"),
    408: (Verdict.UNKNOWN, "it did not answer in time (408)"),
    410: (Verdict.BROKEN, "the page is gone (410)"),
    425: (Verdict.UNKNOWN, "it asks to come back later (425)"),
    429: (Verdict.UNKNOWN, "it was asked too often (429)"),
    451: (Verdict.UNKNOWN, "it is not shown here for legal reasons (451)"),
    503: (Verdict.UNKNOWN, "it is not available now (503)"),
}
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which it is asked once more."""
_LOGIN = re.compile(r"(?:^|[/._-])(?:log[-_]?in|sign[-_]?in|sso|oauth2?|saml|auth(?:orize|enticate)?|accounts)(?:[/._-]|$)", re.IGNORECASE)
_LOST = re.compile(r"\b404\b|not found|(?:does not|doesn.t) exist|no longer available|nothing here|page is gone", re.IGNORECASE)
_GONE = re.compile(r"ERR_NGROK_320[09]|endpoint .{0,80} is offline|Tunnel .{0,80} not found|Error 10(?:33|16)|Argo Tunnel error", re.IGNORECASE)
_APP = re.compile(r"ERR_NGROK_8012", re.IGNORECASE)
_NGROK = re.compile(r"You are about to visit|ERR_NGROK_602[24]|ngrok-skip-browser-warning", re.IGNORECASE)
_LOCALTUNNEL = re.compile(r"Tunnel Password|loca\.lt.{0,80}(?:reminder|password)", re.IGNORECASE)
_HUMAN = re.compile(r"Just a moment|Checking (?:if the site connection|your browser)|Verify you are human", re.IGNORECASE)
_GATES = (
    (_GONE, Verdict.BROKEN, "the tunnel behind it is gone"),
    (_APP, Verdict.BROKEN, "the tunnel is up and its app is not"),
    (_NGROK, Verdict.UNKNOWN, "a page of ngrok stands before it"),
    (_LOCALTUNNEL, Verdict.UNKNOWN, "a page of localtunnel stands before it"),
    (_HUMAN, Verdict.UNKNOWN, "it asks for a human first"),
)
"""Pages of providers that stand where an app should be."""
_FRAME = re.compile(r"Refused to (?:display|frame)|X-Frame-Options|frame-ancestors|Content Security Policy directive: .(?:frame|child)-src")
_SUFFIXES = ("ngrok(?:-free)?.(?:app|dev|io)", "trycloudflare.com", "loca.lt", "lhr.life", "serveo.net", "pinggy.(?:link|io)", "gradio.live")
_HOSTS = re.compile("(?:" + "|".join(one.replace(".", r"\.") for one in _SUFFIXES) + ")$")
_BOARDS = re.compile(r"/(?:proxy|status|dashboard|voila|tensorboard|grafana)(?:/|$)|\.streamlit\.app$|\.hf\.space$", re.IGNORECASE)
_BOOKS = re.compile(r"\.ipynb$|^/(?:lab|notebooks|tree)(?:/|$)|/v2/gh/", re.IGNORECASE)
_BOOK_HOSTS = frozenset({"colab.research.google.com", "mybinder.org", "nbviewer.org", "kaggle.com", "www.kaggle.com"})


@dataclass(frozen=True, kw_only=True)
class Owned:
    """What the ledger says of a link: whose address it is, since when it is not any more, and what it is now (both empty while it is right)."""

    tunnel: str
    ended: bool
    new: str


def owner(url: str, issued: Iterable[Issued]) -> Owned | None:
    """Whose address a link has; None for one that we never issued. The newest holder of an address counts."""
    ledger = list(issued)
    found = None
    for one in ledger:
        if url == one.origin or url.startswith((one.origin + "/", one.origin + "?", one.origin + "#")):
            found = one
    if found is None:
        return None
    live = {one.tunnel: one.origin for one in ledger if one.until is None}
    now = live.get(found.tunnel, "")
    ended = now != found.origin
    return Owned(tunnel=found.tunnel, ended=ended, new=now if ended else "")


def site_of(url: str, owned: Owned | None) -> Site:
    """What a link leads to, as far as it can be told from outside."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if owned or _HOSTS.search(host):
        return Site.TUNNEL
    if host in _BOOK_HOSTS or _BOOKS.search(parts.path):
        return Site.NOTEBOOK
    return Site.DASHBOARD if _BOARDS.search(parts.path) or _BOARDS.search(host) else Site.OTHER


def is_private(url: str) -> bool:
    """Whether an address is of a private network, of this machine, or one that is an example only."""
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".example", ".test", ".invalid")) or not re.search(r"[.:]", host):
        return True
    if host in ("example.com", "example.org", "example.net") or host.endswith((".example.com", ".example.org", ".example.net")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def judge(answer: Answer, *, fragment: str = "") -> Judged:
    """What an answer says of a link with this fragment."""
    if answer.error:
        return _ERRORS.get(answer.error, (Verdict.UNKNOWN, f"it could not be asked ({answer.error})"))
    status = answer.status
    if 200 <= status < 300:
        if fragment and answer.kind == "text/html" and not _has(answer.anchors, fragment):
            drawn = not answer.anchors  # by a script, most likely
            return (Verdict.UNKNOWN, "the page names no place in it") if drawn else (Verdict.BROKEN, f"the page has no #{fragment}")
        return Verdict.OK, ""
    if 300 <= status < 400:
        return Verdict.BROKEN, f"it leads on to nowhere ({status})"
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return Verdict.UNKNOWN, f"its server fails ({status})"
    return Verdict.BROKEN, f"it is refused ({status})"


def odd(answer: Answer) -> bool:
    """Whether an answer that looks good deserves a second look with a browser."""
    said = any(pattern.search(answer.title) for pattern in (_LOST, *(gate for gate, _, _ in _GATES)))
    return 200 <= answer.status < 300 and (said or _moved_to_login(answer.url, answer.final))


def judge_sight(sight: Sight, *, expected: str = "") -> Judged:
    """What a browser's look says of a link.

    Args:
        expected: words that have to be on the page; another app that answers under the address does not have them.
    """
    if sight.error:
        return Verdict.UNKNOWN, f"the browser could not open it ({line(sight.error, limit=120)})"
    said = f"{sight.title}\n{sight.text}"
    for pattern, verdict, why in _GATES:
        if pattern.search(said[:4000]):
            return verdict, why
    if sight.status >= 400:
        return judge(Answer(url=sight.url, status=sight.status))
    if _moved_to_login(sight.url, sight.final) or (sight.password and not _LOGIN.search(urlsplit(sight.url).path)):
        return Verdict.UNKNOWN, "it asks to sign in, although it answers 200"
    if expected and expected.lower() not in said.lower():
        return Verdict.BROKEN, f'another app answers there: "{line(expected, limit=60)}" is not on its page'
    if _LOST.search(sight.title) or (len(sight.text) < 600 and _LOST.search(sight.text[:200])):
        return Verdict.BROKEN, "its page says that there is no such page, although it answers 200"
    return _complaints(sight)


def _complaints(sight: Sight) -> Judged:
    for text in sight.console:
        if _FRAME.search(text):
            return Verdict.BROKEN, f"a frame in it is blocked: {line(text, limit=160)}"
        if "Mixed Content" in text:
            return Verdict.BROKEN, f"it asks for something without TLS: {line(text, limit=160)}"
    if sight.errors:
        return Verdict.BROKEN, f"a script of it fails: {line(sight.errors[0], limit=160)}"
    return Verdict.OK, ""


def judge_level(level: Level) -> Verdict:
    """What a level of health says before a deployment."""
    if level in (Level.BAD, Level.STALE):
        return Verdict.BROKEN
    return Verdict.OK if level in (Level.WELL, Level.OFF) else Verdict.UNKNOWN


def without_network(answers: Sequence[Answer]) -> bool:
    """Whether it is this machine that reaches nobody: then no link can be judged."""
    errors = [answer.error for answer in answers if not answer.cached]
    return len(errors) > 1 and all(error in ("dns", "refused", "timeout") for error in errors) and "dns" in errors


def _moved_to_login(asked: str, final: str) -> bool:
    if not final or _LOGIN.search(urlsplit(asked).path):
        return False
    parts = urlsplit(final)
    return bool(_LOGIN.search(parts.path) or ((parts.hostname or "") != (urlsplit(asked).hostname or "") and _LOGIN.search(parts.hostname or "")))


def _has(anchors: Sequence[str], fragment: str) -> bool:
    wanted = unquote(fragment)
    return wanted.lower() == "top" or wanted.startswith((":~:", "!", "/", "L")) or wanted in anchors or f"user-content-{wanted}" in anchors
