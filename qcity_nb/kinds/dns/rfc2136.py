"""Any name server that takes dynamic updates (RFC 2136), signed by TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows.

A change carries what has to be there as its prerequisite, so the server compares and sets in one step: of two runners one is told NXRRSET. The key
is one word in a credential of the home, as `nsupdate -y` takes it: `hmac-sha256:NAME:BASE64`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import TYPE_CHECKING

from ...decide import pointer as rules
from ...decide.deadman import Change, check_change
from ...errors import BadInput, PlatformError
from ...model.home import Home
from ...model.tunnel import Pointer
from . import allowed_kind, check, compare, conflict, credential, ttl
from .servers import Server, Values, ask, authoritative, exchange, installed, servers, spread, zone_of

if TYPE_CHECKING:
    from dns.message import Message
    from dns.rdata import Rdata
    from dns.update import UpdateMessage

OPTIONS = ("server", "zone", "key", "servers", "resolver")
LOST = ("NXRRSET", "YXRRSET", "NXDOMAIN", "YXDOMAIN")


class Rfc2136:
    """The kind `rfc2136`, as `ports.Publisher` and as `kinds.dns.Records`.

    Options: `server` (the primary), `key` (a credential's name), `zone` (found by asking the primary otherwise), `servers` (where to look whether it
    came through; the zone's NS records otherwise), `resolver` (asked too), `ttl`, `lease`.
    """

    def check(self, pointer: Pointer) -> None:
        """See `ports.Publisher`."""
        check(pointer, OPTIONS)
        if not servers(pointer.options.get("server", "")):
            raise BadInput("rfc2136 needs the zone's primary server", "Give server = HOST or HOST:PORT")
        servers(pointer.options.get("servers", "") + "," + pointer.options.get("resolver", ""))
        installed()

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """See `ports.Publisher`; other TXT records of the name are left alone."""
        self.check(pointer)
        primary = _primary(pointer)
        there = ask(primary, pointer.name, "TXT", tcp=True)
        old = rules.ours(there.values)
        compare(pointer.name, old, expected)
        kept = tuple(one for one in there.values if one != old and not one.startswith(rules.MARK))
        return self._set(pointer, pointer.name, "TXT", (*kept, value), there=there, home=home, guards={})

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """See `ports.Publisher`."""
        self.check(pointer)
        return rules.ours(ask(_primary(pointer), pointer.name, "TXT", tcp=True).values)

    def record(self, pointer: Pointer, name: str, kind: str, *, home: Home) -> str | None:
        """See `kinds.dns.Records`."""
        self.check(pointer)
        return ",".join(ask(_primary(pointer), name, allowed_kind(kind), tcp=True).values) or None

    def point(self, pointer: Pointer, change: Change, *, home: Home) -> str:
        """See `kinds.dns.Records`. Record and pointer are prerequisites of one update: no other moment lies between looking and changing."""
        self.check(pointer)
        check_change(change)
        primary = _primary(pointer)
        there = ask(primary, change.name, change.kind, tcp=True)
        compare(change.name, ",".join(there.values) or None, change.expected)
        guards: dict[str, Values] = {}
        if change.guard:
            guards[pointer.name] = ask(primary, pointer.name, "TXT", tcp=True)
            if change.guard not in guards[pointer.name].values:
                raise conflict(pointer.name, rules.ours(guards[pointer.name].values))
        return self._set(pointer, change.name, change.kind, (change.value,), there=there, home=home, guards=guards)

    def _set(self, pointer: Pointer, name: str, kind: str, values: tuple[str, ...], *, there: Values, home: Home, guards: dict[str, Values]) -> str:
        primary, options = _primary(pointer), pointer.options
        zone = options.get("zone") or zone_of(primary, name)
        update = _update(zone, pointer, home)
        for at, what, found in ((name, kind, there), *((at, "TXT", found) for at, found in guards.items())):
            if found.values:
                update.present(_whole(at), *(_rdata(what, one) for one in found.values))
            else:
                update.absent(_whole(at), what)
        update.delete(_whole(name), kind)
        for one in values:
            update.add(_whole(name), ttl(pointer), _rdata(kind, one))
        _send(update, primary, name, zone, signed=bool(options.get("key")))
        where = servers(options.get("servers", "")) or authoritative(primary, zone)
        return spread(name, kind, values[-1].rstrip("."), at=where, resolver=options.get("resolver", ""), ttl=max(ttl(pointer), there.ttl))


def _primary(pointer: Pointer) -> Server:
    return servers(pointer.options["server"])[0]


def _whole(name: str) -> str:
    return name.rstrip(".") + "."


def _rdata(kind: str, value: str) -> Rdata:
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    from dns.rdtypes.ANY.TXT import TXT

    if kind == "TXT":
        return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, rules.strings(value))
    return dns.rdata.from_text("IN", kind, _whole(value) if kind == "CNAME" else value)


def _update(zone: str, pointer: Pointer, home: Home) -> UpdateMessage:
    import dns.name
    import dns.tsigkeyring
    from dns.update import UpdateMessage

    if not pointer.options.get("key"):
        return UpdateMessage(_whole(zone))
    parts = credential(pointer.options, home, "key").split(":")
    algorithm, name, secret = parts if len(parts) == 3 else ("hmac-sha256", *parts) if len(parts) == 2 else ("", "", "")
    with contextlib.suppress(binascii.Error, ValueError):
        if name and base64.b64decode(secret, validate=True) and algorithm.startswith("hmac-"):
            ring = dns.tsigkeyring.from_text({_whole(name): (algorithm, secret)})
            return UpdateMessage(_whole(zone), keyring=ring, keyname=dns.name.from_text(name))
    raise BadInput(f"what the credential {pointer.options['key']} holds is no TSIG key", "It is one word: hmac-sha256:NAME:BASE64")


def _send(update: UpdateMessage, primary: Server, name: str, zone: str, *, signed: bool) -> None:
    import dns.exception
    import dns.rcode
    import dns.tsig

    try:
        reply: Message = exchange(update, primary, tcp=True)
    except (dns.tsig.PeerBadTime, dns.tsig.BadTime):
        what = f"the clock here and that of the name server {primary} differ too much for its key"
        raise PlatformError(what, "Set this machine's clock", kind="unauthorized") from None
    except dns.exception.DNSException as error:  # all that is left of TSIG: an unknown key, a wrong secret
        what = f"the name server {primary} does not accept the key ({type(error).__name__})"
        raise PlatformError(what, "Check the key's name, algorithm and secret on both sides", kind="unauthorized") from None
    code = dns.rcode.to_text(reply.rcode())
    if code == "NOERROR":
        return
    if code in LOST:
        raise PlatformError(f"{name} was changed by somebody else at the same moment ({code})", "Look who, then try again", kind="conflict")
    if code == "REFUSED":
        todo = "The key's update-policy has to name it" if signed else "Give a key: the option key names a credential of this home"
        what = f"the zone {zone} does not let {'this key' if signed else 'anybody without a key'} change {name} (REFUSED)"
        raise PlatformError(what, todo, kind="forbidden")
    if code in ("NOTZONE", "NOTAUTH"):
        raise PlatformError(f"{name} is in no zone that {primary} may change ({code})", "Check the name, the zone and the server", kind="not_found")
    raise PlatformError(f"the name server {primary} could not change {name} ({code})", "It is tried again; its log says more", kind="server")


KIND = Rfc2136()
