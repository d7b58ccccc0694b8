"""What platforms say of themselves, read from the four forms in which they say it, and what that means for a person. Pure.

What a platform says and what was measured here stay apart. Anything that cannot be read, and a part that has vanished, is unknown and never fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ..model.platform import Family, Feed, PlatformView, Says
from .health import Condition, Level
from .wording import line, since

EVERY, OLD = timedelta(minutes=1), timedelta(minutes=5)
"""How often each is asked, and when what it said last counts no more."""
RANKS = (Says.FINE, Says.UNKNOWN, Says.MAINTENANCE, Says.MINOR, Says.MAJOR)
LEVELS = {Says.FINE: Level.WELL, Says.MAINTENANCE: Level.OFF, Says.MINOR: Level.WARN, Says.MAJOR: Level.BAD, Says.UNKNOWN: Level.STALE}
_WORDS = {
    Says.FINE: "is fine",
    Says.MAINTENANCE: "says it is in maintenance",
    Says.MINOR: "says it has a minor fault",
    Says.MAJOR: "says it has a major fault",
    Says.UNKNOWN: "says nothing that can be understood",
}


def _feed(title: str, host: str, path: str, family: Family, *parts: str) -> Feed:
    return Feed(title=title, url=f"https://{host}/{path}", family=family, page=f"https://{host}", parts=parts)


_SUMMARY, _ACTIONS = "api/v2/summary.json", ("Actions", "API Requests", "Webhooks", "Git Operations")
FEEDS: Mapping[str, Feed] = {
    "github": _feed("GitHub", "www.githubstatus.com", _SUMMARY, Family.STATUSPAGE, *_ACTIONS),
    "gitlab": _feed("GitLab", "status.gitlab.com", "1.0/status/5b36dc6502d06804c08349f7", Family.STATUS_IO),
    "vercel": _feed("Vercel", "www.vercel-status.com", _SUMMARY, Family.STATUSPAGE),
    "google-cloud": _feed("Google Cloud", "status.cloud.google.com", "incidents.json", Family.GOOGLE),
    "huggingface": _feed("Hugging Face", "status.huggingface.co", "index.json", Family.BETTER_STACK),
    "dagshub": _feed("DagsHub", "dagshub.com", "", Family.ANSWERS),
    "cloudflare": _feed("Cloudflare", "www.cloudflarestatus.com", _SUMMARY, Family.STATUSPAGE),
    "ngrok": _feed("ngrok", "status.ngrok.com", _SUMMARY, Family.STATUSPAGE),
}
"""Those that are known by name. Colab has no page of its own; where one runs is seen by the runtime itself."""


class Unreadable(ValueError):
    """An answer says nothing that can be understood; the text says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one answer says, and of what."""

    says: Says
    text: str = ""


def heard(feed: Feed, status: int, body: bytes, view: PlatformView, now: datetime) -> PlatformView:
    """What is known after an answer.

    Args:
        status: of HTTP; 0 when nobody answered, and `body` says why.
    """
    if not status:
        return lost(view, body.decode("utf-8", "replace"), now)
    if feed.family is Family.ANSWERS:
        said = Said(says=Says.FINE if status < 500 else Says.MAJOR, text=f"with {status}; it has no page that says how it is")
    elif status != 200:
        return lost(view, f"its page answers with {status}", now)
    else:
        try:
            said = read(feed, body)
        except (msgspec.MsgspecError, Unreadable, RecursionError) as error:
            return lost(view, f"its page cannot be read ({line(str(error), limit=120)})", now)
    return PlatformView(says=said.says, text=line(said.text, limit=200), heard=now, asked=now)


def lost(view: PlatformView, why: str, now: datetime) -> PlatformView:
    """What is known after a question without an answer."""
    return replace(view, asked=now, trouble=line(why, limit=200))


def due(view: PlatformView, now: datetime) -> bool:
    """Whether it is time to ask; a clock that was set back is no reason to wait."""
    return view.asked is None or not timedelta(0) <= now - view.asked < EVERY


def read(feed: Feed, body: bytes) -> Said:
    """What an answer says. Raises `Unreadable`, `msgspec.MsgspecError` or, where it is nested too deeply, `RecursionError`."""
    return _READERS[feed.family](msgspec.json.decode(body), frozenset(feed.parts))


def condition(feed: Feed, view: PlatformView, now: datetime, *, alive: bool = True) -> Condition:
    """How it is, for people: `says it has a minor fault: Actions: degraded performance`.

    Args:
        alive: whether an engine asks at all.
    """
    if view.heard is None:
        why = view.trouble or ("is being asked" if alive else "no engine asks it")
        return Condition(level=Level.STALE, text=line(f"nothing is known of it: {why}", limit=300))
    if now - view.heard > OLD:
        why = f": {view.trouble}" if view.trouble else "" if alive else ": no engine asks it"
        return Condition(level=Level.STALE, text=line(f"was last heard {since(view.heard, now)}{why}", limit=300))
    text = ": ".join(filter(None, [_WORDS[view.says], view.text]))
    if feed.family is Family.ANSWERS:
        text = f"{'answers' if view.says is Says.FINE else 'fails'} {view.text}"
    return Condition(level=LEVELS[view.says], text=line(text, limit=300))


def overall(conditions: Mapping[str, Condition]) -> Condition | None:
    """One line for all; None while there is nothing to say: a platform that nobody could ask is no fault of what runs here."""
    bad = [(title, one) for title, one in conditions.items() if one.level in (Level.BAD, Level.WARN)]
    if not bad:
        return None
    bad.sort(key=lambda pair: pair[1].level.rank)
    title, first = bad[0]
    more = " So does another one." if len(bad) == 2 else f" So do {len(bad) - 1} others." if len(bad) > 2 else ""
    return Condition(level=Level.WARN, text=f"{title} {first.text}.{more}", todo="qcity platform list says where to look")


def _worst(found: Iterable[tuple[Says, str]], *, fine: str = "") -> Said:
    """The worst of several, named; the last words are the incident's own."""
    known = sorted(found, key=lambda pair: -RANKS.index(pair[0]))
    if not known or known[0][0] is Says.FINE:
        return Said(says=Says.FINE, text=fine)
    says = known[0][0]
    return Said(says=says, text="; ".join(dict.fromkeys(text for one, text in known if one is says and text)))


_STATUSPAGE = {
    "operational": Says.FINE,
    "degraded_performance": Says.MINOR,
    "partial_outage": Says.MINOR,
    "major_outage": Says.MAJOR,
    "under_maintenance": Says.MAINTENANCE,
}
_IMPACT = {"none": Says.FINE, "minor": Says.MINOR, "major": Says.MAJOR, "critical": Says.MAJOR, "maintenance": Says.MAINTENANCE}
_OVER = frozenset({"resolved", "postmortem", "completed", "scheduled"})


def _statuspage(raw: object, parts: frozenset[str]) -> Said:
    """Its parts, then its open incidents: the indicator may say `none` while one is open."""
    page = _mapping(raw, "an object")
    status = _mapping(page.get("status"), "status")
    known = sorted((str(one.get("name")), str(one.get("status"))) for one in _rows(page.get("components")))
    if missing := parts - {name for name, _ in known}:
        raise Unreadable(f"it does not say how {', '.join(sorted(missing))} is")
    counted = [(name, word) for name, word in known if not parts or name in parts]
    found = [(_STATUSPAGE.get(word, Says.UNKNOWN), f"{name}: {word.replace('_', ' ')}") for name, word in counted]
    for one in [*_rows(page.get("incidents")), *_rows(page.get("scheduled_maintenances"))]:
        about = {str(part.get("name")) for part in _rows(one.get("components"))}
        if str(one.get("status")) not in _OVER and (not parts or not about or about & parts):
            found.append((_IMPACT.get(str(one.get("impact")), Says.UNKNOWN), str(one.get("name") or "an incident")))
    if not parts:
        found.append((_IMPACT.get(str(status.get("indicator")), Says.UNKNOWN), str(status.get("description") or "")))
    return _worst(found, fine=str(status.get("description") or "") if not parts else "")


def _status_io(raw: object, _parts: frozenset[str]) -> Said:
    """Codes: 100 operational, 200 planned maintenance, 300 degraded, 400 partial, 500 disruption, 600 security."""
    result = _mapping(_mapping(raw, "an object").get("result"), "result")
    levels = {100: Says.FINE, 200: Says.MAINTENANCE, 300: Says.MINOR, 400: Says.MINOR, 500: Says.MAJOR, 600: Says.MAJOR}
    whole = _mapping(result.get("status_overall"), "status_overall")

    def level(one: Mapping[str, Any]) -> Says:
        code = one.get("status_code")
        return levels.get(code, Says.UNKNOWN) if isinstance(code, int) else Says.UNKNOWN

    found = [(level(one), f"{one.get('name')}: {one.get('status')}") for one in _rows(result.get("status"))]
    found.append((level(whole), ""))
    said, incidents = _worst(found, fine=str(whole.get("status") or "")), [str(one.get("name")) for one in _rows(result.get("incidents"))]
    return replace(said, text="; ".join([*incidents[:2], said.text])) if incidents and said.says is not Says.FINE else said


def _better_stack(raw: object, _parts: frozenset[str]) -> Said:
    page = _mapping(raw, "an object")
    levels = {"operational": Says.FINE, "degraded": Says.MINOR, "downtime": Says.MAJOR, "maintenance": Says.MAINTENANCE}
    about = _mapping(_mapping(page.get("data"), "data").get("attributes"), "attributes")
    found, titles = [(levels.get(str(about.get("aggregate_state")), Says.UNKNOWN), "")], []
    for one in _rows(page.get("included")):
        mine = one.get("attributes")
        mine = mine if isinstance(mine, dict) else {}
        state = str(mine.get("status"))
        if one.get("type") == "status_page_resource" and state not in ("None", "not_monitored"):
            found.append((levels.get(state, Says.UNKNOWN), f"{mine.get('public_name')}: {state}"))
        if one.get("type") == "status_report" and not mine.get("ends_at") and mine.get("aggregate_state") not in ("resolved", "operational"):
            titles.append(str(mine.get("title")))
    said = _worst(found)
    return replace(said, text="; ".join([*titles[:2], said.text])) if titles and said.says is not Says.FINE else said


def _google(raw: object, parts: frozenset[str]) -> Said:
    """A list of incidents, open ones without an end. A product that none names is not thereby healthy: only that is said."""
    if not isinstance(raw, list):
        raise Unreadable("a list was expected")
    levels = {"AVAILABLE": Says.FINE, "SERVICE_INFORMATION": Says.FINE, "SERVICE_DISRUPTION": Says.MINOR, "SERVICE_OUTAGE": Says.MAJOR}
    found = []
    for one in _rows(raw):
        products = {str(part.get("title")) for part in _rows(one.get("affected_products"))}
        if not one.get("end") and (not parts or products & parts):
            found.append((levels.get(str(one.get("status_impact")), Says.UNKNOWN), str(one.get("external_desc") or "an incident")))
    return _worst(found, fine="no incident is open")


def _mapping(raw: object, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Unreadable(f"{what} was expected")
    return raw


def _rows(raw: object) -> list[dict[str, Any]]:
    """The objects of a list; a list that is missing is empty, as it is on pages that only look like the original."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise Unreadable("a list was expected")
    return [_mapping(one, "an object in a list") for one in raw]


_READERS: Mapping[Family, Callable[[object, frozenset[str]], Said]] = {
    Family.STATUSPAGE: _statuspage,
    Family.STATUS_IO: _status_io,
    Family.BETTER_STACK: _better_stack,
    Family.GOOGLE: _google,
}
