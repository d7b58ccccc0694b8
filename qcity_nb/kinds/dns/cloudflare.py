"""A zone at Cloudflare, by its REST API. Its API knows no prerequisites: what is there is read just before and just after a change.

Two runners that write within that moment (a tenth of a second) are both told by what is there afterwards. The token is a credential of the home; it
needs Zone.DNS Edit for this one zone. Source: developers.cloudflare.com/api, "DNS Records for a Zone".
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ...decide import pointer as rules
from ...decide.deadman import Change, check_change
from ...errors import BadInput, PlatformError
from ...model.home import Home
from ...model.tunnel import Pointer
from ..forges.http import Caller
from . import allowed_kind, check, compare, conflict, credential, ttl
from .servers import servers, spread

API, WHO, TOKEN = "https://api.cloudflare.com/client/v4", "Cloudflare", "cloudflare"
OPTIONS = ("zone", "token", "url", "servers", "resolver", "proxied")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record, as far as we read it."""

    id: str
    name: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """A list of records."""

    result: tuple[Record, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A zone, as far as we read it."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Zones:
    """A list of zones."""

    result: tuple[Zone, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a change is answered with."""

    success: bool


class Cloudflare:
    """The kind `cloudflare`, as `ports.Publisher` and as `kinds.dns.Records`.

    Options: `token` (a credential's name, `cloudflare` otherwise), `zone` (its name; found from the record's name otherwise), `servers`, `resolver`
    (where to look whether it came through), `ttl` (60 at least), `proxied` (`yes` for records that are pointed), `lease`, `url` (of the API).
    """

    def check(self, pointer: Pointer) -> None:
        """See `ports.Publisher`."""
        check(pointer, OPTIONS)
        if ttl(pointer) < 60:
            raise BadInput(f"Cloudflare takes no time to live below 60 s, and not {ttl(pointer)}", "Give ttl = 60 or more")
        url = urlsplit(pointer.options.get("url", API))
        if url.scheme != "https" and url.hostname != "127.0.0.1":
            raise BadInput("the API's address begins with https://", "A token is never sent over a plain connection")
        servers(pointer.options.get("servers", "") + "," + pointer.options.get("resolver", ""))

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """See `ports.Publisher`; other TXT records of the name are left alone."""
        return self._set(pointer, Change(name=pointer.name, kind="TXT", value=value, expected=expected), home)

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """See `ports.Publisher`."""
        self.check(pointer)
        return _value(_Zone(pointer, pointer.name, home).records(pointer.name, "TXT"), "TXT")

    def record(self, pointer: Pointer, name: str, kind: str, *, home: Home) -> str | None:
        """See `kinds.dns.Records`."""
        self.check(pointer)
        return _value(_Zone(pointer, name, home).records(name, allowed_kind(kind)), kind)

    def point(self, pointer: Pointer, change: Change, *, home: Home) -> str:
        """See `kinds.dns.Records`. The pointer is looked at just before."""
        check_change(change)
        if change.guard and (found := self.read(pointer, home=home)) != change.guard:
            raise conflict(pointer.name, found)
        return self._set(pointer, change, home)

    def _set(self, pointer: Pointer, change: Change, home: Home) -> str:
        self.check(pointer)
        zone, options = _Zone(pointer, change.name, home), pointer.options
        there = zone.records(change.name, change.kind)
        compare(change.name, _value(there, change.kind), change.expected)
        content = _quoted(change.value) if change.kind == "TXT" else change.value
        body = {"type": change.kind, "name": change.name.rstrip("."), "content": content, "ttl": ttl(pointer), "proxied": False}
        if change.kind != "TXT":
            body["proxied"] = options.get("proxied") == "yes"
        mine = [one for one in there if change.kind != "TXT" or _plain(one.content).startswith(rules.MARK)]
        zone.put(mine[0].id if mine else "", body)
        for one in mine[1:]:
            zone.drop(one.id)
        now = _value(zone.records(change.name, change.kind), change.kind)
        if now != change.value.rstrip("."):
            raise conflict(change.name, now)
        if at := servers(options.get("servers", "")):
            return spread(change.name, change.kind, change.value.rstrip("."), at=at, resolver=options.get("resolver", ""), ttl=ttl(pointer))
        return f"{change.name} has it at Cloudflare; resolvers may show the old one for {ttl(pointer)} s"


class _Zone:
    """The zone of a name."""

    def __init__(self, pointer: Pointer, name: str, home: Home) -> None:
        token = credential(pointer.options, home, "token", TOKEN)
        self._caller = Caller(pointer.options.get("url", API), {"Authorization": f"Bearer {token}"}, who=WHO)
        self._path = f"/zones/{self._find(name.rstrip('.'), pointer.options.get('zone', ''))}/dns_records"

    def _find(self, name: str, given: str) -> str:
        labels = name.split(".")
        for zone in [given.rstrip(".")] if given else [".".join(labels[at:]) for at in range(len(labels) - 1)]:
            for found in self._caller.get("/zones", Zones, name=zone).result:
                if found.name == zone and (name == zone or name.endswith(f".{zone}")):
                    return found.id
        what = f"{name} is in no zone that this token can see at Cloudflare"
        raise PlatformError(what, "Check the name and what the token may do", kind="not_found")

    def records(self, name: str, kind: str) -> tuple[Record, ...]:
        return self._caller.get(self._path, Found, type=kind, name=name.rstrip(".")).result

    def put(self, id_: str, body: object) -> None:
        method, path = ("PUT", f"{self._path}/{id_}") if id_ else ("POST", self._path)
        if not self._caller.send(method, path, Done, body).success:
            raise PlatformError("Cloudflare did not make the change", "Look at the zone there", kind="invalid")

    def drop(self, id_: str) -> None:
        self._caller.send("DELETE", f"{self._path}/{id_}", object)


def _value(records: tuple[Record, ...], kind: str) -> str | None:
    if kind == "TXT":
        return rules.ours([_plain(one.content) for one in records])
    return ",".join(sorted(one.content.rstrip(".") for one in records)) or None


def _quoted(text: str) -> str:
    return " ".join(f'"{part.decode()}"' for part in rules.strings(text))


def _plain(content: str) -> str:
    return "".join(content[1:-1].split('" "')) if content.startswith('"') and content.endswith('"') else content


KIND = Cloudflare()
