"""Asking name servers, with dnspython: one server, the servers of a zone, a resolver; and waiting until all of them say the same."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...decide import pointer as rules
from ...decide.wording import count, line
from ...errors import BadInput, MissingTool, PlatformError

if TYPE_CHECKING:
    from dns.message import Message

TIMEOUT, PROBE = 3.0, 1.0
"""Seconds that a server has to answer, and one of which it is only asked whether it has the new value yet."""
WAIT = 3.0
"""Seconds in which a secondary has to show what the primary has; research: 0.5 s by NOTIFY and IXFR, 1.0 s at most."""
PAUSES = (0.01, 0.25)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A name server: an address and a port."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a server says of one kind of records of a name; `ttl` in seconds."""

    values: tuple[str, ...] = ()
    ttl: int = 0


def installed() -> None:
    """Raises `MissingTool` when there is no dnspython."""
    try:
        import dns.query  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingTool("asking name servers needs the package dnspython", 'pip install "qcity-nb[tunnel]"') from None


def servers(text: str) -> tuple[Server, ...]:
    """What an option names: `HOST`, `HOST:PORT` or `[HOST]:PORT`, several with commas. Raises `BadInput`."""
    return tuple(_server(part.strip()) for part in text.split(",") if part.strip())


def _server(text: str) -> Server:
    host, port = text, "53"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isdigit() or not 0 < int(port[:6]) < 65536 or any(letter.isspace() or letter in "/@" for letter in host):
        raise BadInput(f'"{text}" is no name server', "Give HOST or HOST:PORT")
    return Server(host=host, port=int(port))


def exchange(message: Message, server: Server, *, tcp: bool, timeout: float = TIMEOUT) -> Message:
    """Send one message and take the answer.

    Raises:
        PlatformError: it cannot be reached, or what it says cannot be read.
    """
    import dns.exception
    import dns.query
    import dns.tsig

    try:
        where = _address(server)
        if tcp:
            return dns.query.tcp(message, where, port=server.port, timeout=timeout)
        return dns.query.udp_with_fallback(message, where, port=server.port, timeout=timeout)[0]
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadTime):
        raise
    except dns.exception.Timeout:
        raise _lost(server, f"no answer within {timeout:.0f} s") from None
    except OSError as error:
        raise _lost(server, error.strerror or str(error)) from None
    except dns.exception.DNSException as error:
        what = f"what the name server {server} answers cannot be read ({type(error).__name__})"
        raise PlatformError(what, "It is asked again", kind="garbled") from None


def ask(server: Server, name: str, kind: str, *, tcp: bool = False, recursive: bool = False, timeout: float = TIMEOUT) -> Values:
    """What a server says of a name. Raises `PlatformError`; `not_found` when it is not responsible for it."""
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rdatatype

    query = dns.message.make_query(name, kind)
    if not recursive:
        query.flags &= ~dns.flags.RD
    reply = exchange(query, server, tcp=tcp, timeout=timeout)
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        said = dns.rcode.to_text(reply.rcode())
        if reply.rcode() == dns.rcode.REFUSED:
            raise PlatformError(f"the name server {server} is not responsible for {name} ({said})", "Check the name and the server", kind="not_found")
        raise PlatformError(f"the name server {server} fails at {name} ({said})", "It is asked again", kind="server")
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.from_text(kind):
            return Values(values=tuple(sorted(text_of(one) for one in rrset)), ttl=rrset.ttl)
    return Values()


def text_of(rdata: object) -> str:
    """The value of a record: of a TXT record its strings in a row."""
    parts = getattr(rdata, "strings", None)
    return rules.joined(parts) if parts is not None else str(rdata).rstrip(".")


def zone_of(server: Server, name: str) -> str:
    """The zone that a server has a name in, from the SOA that it gives. Raises `PlatformError`, `not_found` when it has none."""
    import dns.flags
    import dns.message
    import dns.rdatatype

    reply = exchange(dns.message.make_query(name, "SOA"), server, tcp=True)
    for rrset in (*reply.answer, *reply.authority):
        if rrset.rdtype == dns.rdatatype.SOA and reply.flags & dns.flags.AA:
            return rrset.name.to_text()
    raise PlatformError(f"{name} is in no zone of the name server {server}", "Check the name, or give the server that has its zone", kind="not_found")


def authoritative(primary: Server, zone: str) -> tuple[Server, ...]:
    """The servers that a zone's NS records name, on the primary's port; the primary alone when none of them can be found."""
    found: dict[Server, None] = {}
    for host in ask(primary, zone, "NS").values:
        known = _quietly(primary, host, "A") or _quietly(primary, host, "AAAA")  # one is enough: not every machine has both networks
        if not known:
            try:
                known = tuple(str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM))[:1]
            except OSError:
                continue
        found |= {Server(host=value, port=primary.port): None for value in known}
    return tuple(found) or (primary,)


def _quietly(server: Server, name: str, kind: str) -> tuple[str, ...]:
    try:
        return ask(server, name, kind, timeout=PROBE).values
    except PlatformError:
        return ()


def spread(
    name: str,
    kind: str,
    value: str,
    *,
    at: Sequence[Server],
    resolver: str,
    ttl: int,
    wait: float = WAIT,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Wait until all these servers show a value, and say how far it came, with how long resolvers may show the old one."""
    began, missing, delay = time.monotonic(), list(at), PAUSES[0]
    while True:
        missing = [server for server in missing if value not in _quietly(server, name, kind)]
        took = time.monotonic() - began
        if not missing or took > wait:
            break
        pause(delay)
        delay = min(delay * 2, PAUSES[1])
    done = f"{name} has it at {count(len(at) - len(missing), 'server')} of {len(at)} after {took:.2f} s"
    if missing:
        done += f", not yet at {', '.join(map(str, missing[:3]))}"
    return f"{done}; {_resolved(name, kind, value, resolver, ttl)}"


def _resolved(name: str, kind: str, value: str, resolver: str, ttl: int) -> str:
    later = f"resolvers may show the old one for {ttl} s"
    if not resolver:
        return later
    server = servers(resolver)[0]
    try:
        shown = ask(server, name, kind, recursive=True)
    except PlatformError as error:
        return f"{later} ({line(error.what, limit=120)})"
    if value in shown.values:
        return f"the resolver {server} shows it, others may show the old one for {ttl} s"
    return f"the resolver {server} shows the old one for {shown.ttl or ttl} s more"


def _address(server: Server) -> str:
    try:
        return str(ipaddress.ip_address(server.host))
    except ValueError:
        return str(socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)[0][4][0])


def _lost(server: Server, why: str) -> PlatformError:
    what = f"the name server {server} cannot be reached ({line(why, limit=100)})"
    return PlatformError(what, "Check its address and the network; it is asked again at the next renewal", kind="unreachable")
