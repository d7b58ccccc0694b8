"""What ngrok's error codes and its agent's log lines mean. Text in, meanings out; pure, and tolerant of what it has never seen.

Sources: ngrok's list of errors, its agent's API and configuration v3, its version support policy and changelog (read in 2026). 105 and 107 are
about the token, not about sessions. Limits are never written down here: they change; the codes do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from ..errors import TunnelError
from ..model.tunnel import Fault

HEADER = "ngrok-error-code"
"""Of answers through a public address: set when ngrok, and not the app, made the answer."""
SKIP = {"ngrok-skip-browser-warning": "1"}
"""Gets a program past the page that free accounts show to browsers (6024)."""
NOT_READY = 104
"""The only code of the agent's own API that is told apart: its session is not there yet."""
ALREADY_ONLINE = 334
APP_DOWN = frozenset({8012, 3004})
"""Seen through the public address: the tunnel is well, the app behind it refused or broke off. No reason to leave the provider."""
INTERSTITIAL = frozenset({6022, 6024})
"""Seen through the public address: the page for people; the tunnel is well."""

_CODE = re.compile(r"ERR_NGROK_(\d{1,5})")
_LOCAL = re.compile(r'"error_code"\s*:\s*(\d+)')
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What one code means. `retry_after`: seconds, where waiting is known to help."""

    fault: Fault
    text: str
    todo: str
    retry_after: float | None = None


def _rows(codes: Iterable[int], fault: Fault, text: str, todo: str, retry_after: float | None = None) -> dict[int, Meaning]:
    return dict.fromkeys(codes, Meaning(fault=fault, text=text, todo=todo, retry_after=retry_after))


_ACCOUNT = "Look at the account's page at ngrok"
MEANINGS: dict[int, Meaning] = {
    **_rows((4018,), Fault.TOKEN, "it has no verified account's token", "Put yours into NGROK_AUTHTOKEN"),
    **_rows((105,), Fault.TOKEN, "the token is malformed", "Copy the authtoken again from ngrok's page"),
    **_rows((107,), Fault.TOKEN, "the token is not valid, or was revoked", "Copy the authtoken again from ngrok's page"),
    **_rows((106,), Fault.TOKEN, "the token is of ngrok's version 1", "Make a new authtoken on ngrok's page"),
    **_rows((102,), Fault.TOKEN, "the account has an open payment", _ACCOUNT),
    **_rows((103,), Fault.TOKEN, "the account is suspended", _ACCOUNT),
    **_rows((115, 9040), Fault.REFUSED, "the account's IP policy keeps this machine out", "Change it, or use another provider"),
    **_rows((3208,), Fault.TOKEN, "the account is banned", _ACCOUNT),
    **_rows((9009,), Fault.PLAN, "going through an HTTP proxy needs a paid plan", "Unset http_proxy for it, or use another provider"),
    **_rows((120, 121), Fault.TOO_OLD, "this version of the agent is not supported any more", "Update it: ngrok update"),
    **_rows((313, 314, 318, 319), Fault.PLAN, "the account's plan does not have this address", "Leave out the option domain, or change the plan"),
    **_rows((320,), Fault.PLAN, "the domain belongs to another account", "Reserve it on ngrok's page, or leave out the option domain"),
    **_rows((307,), Fault.PLAN, "the TCP address is not reserved", "Reserve it on ngrok's page"),
    **_rows((8013,), Fault.PLAN, "TCP addresses need a card on file", _ACCOUNT),
    **_rows((108,), Fault.CONFLICT, "the account's agents are all in use", "End another agent of the account"),
    **_rows((324, 350), Fault.CONFLICT, "this agent has as many endpoints as it may", "Close another tunnel of the account"),
    **_rows((334,), Fault.CONFLICT, "the address is online already", "End the other tunnel; one of our own that crashed goes by itself"),
    **_rows((725, 726, 727, 728, 735), Fault.QUOTA, "this month's traffic is used up", "It goes on when the month is over"),
    **_rows((702, 703, 715, 734), Fault.LIMITED, "there were too many requests in this minute", "It goes on in a minute", _MINUTE),
    **_rows((714,), Fault.LIMITED, "there are too many connections at once", "It goes on when some are closed", _MINUTE),
    **_rows((128,), Fault.NETWORK, "ngrok could not take the session just now", "It is tried again"),
    **_rows((3200, 3209), Fault.DIED, "the address has no agent behind it", "It is started anew"),
}


class Sign(Enum):
    """What a line of the agent's log says."""

    WEB = "its local API listens"
    ESTABLISHED = "its session with ngrok is there"
    CLOSED = "its session is gone, and it tries again"
    HEARTBEAT = "ngrok has not answered for too long"
    RECONNECTING = "it tried again, in vain"
    ONLINE = "an endpoint is online"
    ERROR = "anything else that it calls an error"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line that means something; `text` is its address, URL or error."""

    sign: Sign
    text: str = ""


_SIGNS: tuple[tuple[str, Sign, str], ...] = (
    ("starting web service", Sign.WEB, "addr"),
    ("client session established", Sign.ESTABLISHED, ""),
    ("tunnel session started", Sign.ESTABLISHED, ""),
    ("heartbeat timeout", Sign.HEARTBEAT, "msg"),
    ("session closed", Sign.CLOSED, "err"),
    ("failed to reconnect", Sign.RECONNECTING, "err"),
    ("reconnecting", Sign.RECONNECTING, "err"),
    ("started tunnel", Sign.ONLINE, "url"),
    ("started endpoint", Sign.ONLINE, "url"),
)


def event(line: str) -> Event | None:
    """What one line of the log (logfmt; or plain, as its last words are) means, or None."""
    fields = {key: _plain(value) for key, value in _FIELD.findall(line)}
    said = fields.get("msg", "")
    for words, sign, field in _SIGNS:
        if words in said:
            return Event(sign=sign, text=fields.get(field, ""))
    if fields.get("lvl", "").lower() in ("eror", "err", "error", "crit", "critical"):
        return Event(sign=Sign.ERROR, text=fields.get("err") or said)
    return Event(sign=Sign.ERROR, text=line.removeprefix("ERROR:").strip()) if line.startswith("ERROR:") and line.strip() != "ERROR:" else None


def code(*texts: str, headers: Mapping[str, str] | None = None) -> int | None:
    """The first code in a body, a log line or the answer's headers. Of the agent's own codes, which are numbered apart, only `NOT_READY` counts."""
    named = [value for name, value in (headers or {}).items() if name.lower() == HEADER]
    for text in (*named, *texts):
        if found := _CODE.search(text):
            return int(found[1])
    local = [found[1] for found in map(_LOCAL.search, texts) if found]
    return NOT_READY if str(NOT_READY) in local else None


def error(*texts: str, headers: Mapping[str, str] | None = None) -> TunnelError | None:
    """The error that these texts hold, or None when there is no code of ngrok's in them."""
    found = code(*texts, headers=headers)
    if found is None or found == NOT_READY:
        return None
    meaning = MEANINGS.get(found) or Meaning(fault=Fault.OTHER, text="it says no", todo="Look the code up in ngrok's list of errors")
    what = f"ngrok gives no address: {meaning.text} (ERR_NGROK_{found})"
    return TunnelError(what, meaning.todo, fault=meaning.fault, retry_after=meaning.retry_after)


_SUPPORT, _LAST_CALL = timedelta(days=14 * 30), timedelta(days=12 * 30)
_RELEASED = ((3, date(2023, 5, 9)), (38, date(2026, 4, 17)), (39, date(2026, 4, 27)))
"""Minor releases of version 3 whose day is in its changelog: an older minor came out on that day at the latest."""


def support(version: str, today: date) -> str:
    """What is to be said about how long this version of the agent is let in (14 months for each minor release); empty when nothing is known to end.

    Only words: paid accounts keep old agents, so ngrok alone refuses (120, 121).
    """
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if not found:
        return ""
    if int(found[1]) < 3:
        return "too old for endpoints"
    latest = next((day for minor, day in _RELEASED if int(found[2]) <= minor), None)
    if latest is None or today - latest < _LAST_CALL:
        return ""
    return "out of support" if today - latest >= _SUPPORT else "support ends soon: ngrok update"


def _plain(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", lambda found: {"n": " ", "r": "", "t": " "}.get(found[1], found[1]), value[1:-1]).strip()
