"""A name at DuckDNS: one TXT record, set by an HTTP call. Only as a second one: one outage took days (linuxserver/docker-duckdns #87, 2026).

It has no call that reads, so what is there is asked in the DNS, and what is expected is held against that. Its token stands in the query, as the
service wants it, so no error here says an address. Source: duckdns.org/spec.jsp.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from ...decide import pointer as rules
from ...errors import BadInput, PlatformError
from ...model.home import Home
from ...model.tunnel import Pointer
from . import check, compare, credential, ttl
from .servers import Server, ask, installed, servers, spread

API, TOKEN, SUFFIX = "https://www.duckdns.org", "duckdns", ".duckdns.org"
OPTIONS = ("token", "url", "servers", "resolver")
TIMEOUT = (5.0, 20.0)


class DuckDns:
    """The kind `duckdns`, as `ports.Publisher`.

    Options: `token` (a credential's name, `duckdns` otherwise), `servers` (that are asked what is there; this machine's resolver otherwise),
    `resolver`, `ttl` (as the service sets it: 60), `lease`, `url`.
    """

    def check(self, pointer: Pointer) -> None:
        """See `ports.Publisher`."""
        check(pointer, OPTIONS)
        name = pointer.name.rstrip(".").removesuffix(SUFFIX)
        if not pointer.name.rstrip(".").endswith(SUFFIX) or "." in name:
            raise BadInput(f"{pointer.name} is no name at DuckDNS", "Give NAME.duckdns.org, without anything before it")
        url = urlsplit(pointer.options.get("url", API))
        if url.scheme != "https" and url.hostname != "127.0.0.1":
            raise BadInput("the service's address begins with https://", "A token is never sent over a plain connection")
        servers(pointer.options.get("servers", "") + "," + pointer.options.get("resolver", ""))
        installed()

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """See `ports.Publisher`."""
        self.check(pointer)
        if len(value) > rules.LONGEST:
            raise BadInput(f"the pointer has {len(value)} letters, more than the {rules.LONGEST} of one string", "Use a shorter name for the tunnel")
        token = credential(pointer.options, home, "token", TOKEN)
        if expected is not None:
            compare(pointer.name, self.read(pointer, home=home), expected)
        said = _call(pointer, {"domains": pointer.name.rstrip(".").removesuffix(SUFFIX), "token": token, "txt": value, "verbose": "true"})
        if not said.startswith("OK"):
            what = f"DuckDNS does not change {pointer.name}: it does not know the token, or the name is not this account's"
            raise PlatformError(what, "Check both at DuckDNS; it does not say which", kind="unauthorized")
        return spread(pointer.name, "TXT", value, at=_servers(pointer), resolver=pointer.options.get("resolver", ""), ttl=ttl(pointer))

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """See `ports.Publisher`; as old as a resolver's answer may be when no servers are given."""
        self.check(pointer)
        return rules.ours(ask(_servers(pointer)[0], pointer.name, "TXT", recursive=True).values)


def _servers(pointer: Pointer) -> tuple[Server, ...]:
    if given := servers(pointer.options.get("servers", "") or pointer.options.get("resolver", "")):
        return given
    import dns.resolver

    try:
        return (Server(host=str(dns.resolver.get_default_resolver().nameservers[0])),)
    except (dns.resolver.NoResolverConfiguration, IndexError):
        raise PlatformError("this machine has no resolver", "Give servers = HOST, one of DuckDNS's", kind="unreachable") from None


def _call(pointer: Pointer, query: dict[str, str]) -> str:
    url = pointer.options.get("url", API).rstrip("/") + "/update"
    try:
        reply = requests.get(url, params=query, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        what = f"DuckDNS cannot be reached ({type(error).__name__})"
        raise PlatformError(what, "It is asked again at the next renewal; it was away for days before", kind="unreachable") from None
    if reply.status_code != 200:
        kind = "limited" if reply.status_code == 429 else "server" if reply.status_code >= 500 else "invalid"
        raise PlatformError(f"DuckDNS answered {reply.status_code} about {pointer.name}", "It is asked again at the next renewal", kind=kind)
    return reply.text.strip()


KIND = DuckDns()
