"""Domains that a person owns: watched, and while one fails a tunnel leads to the app in its place. What follows the address goes there and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from ..decide import places
from ..decide.health import Level
from ..decide.tunnel_health import LEVELS
from ..decide.wording import did_you_mean, line, since
from ..errors import BadInput, NotFound
from ..store import services
from ..store.tunnels import TunnelRow
from .link import Link, now
from .tables import Html, Shown, mark, table
from .tunnels import KIND, Tunnel, Tunnels

OWN = "domain"
"""The provider that is the domain itself."""


class Domains(Shown):
    """The domains that are watched; `domains["app.example.org"]` is the tunnel that stands in for one."""

    def __init__(self, link: Link, tunnels: Tunnels) -> None:
        self._link, self._tunnels = link, tunnels

    def watch(
        self,
        address: str,
        *,
        tunnel_to: int,
        chain: str | Iterable[str] = (),
        options: Mapping[str, str] | None = None,
        expect: str = "",
        every: float = 10.0,
        public: bool = False,
        wait: float = 0.0,
    ) -> Tunnel:
        """Watch a domain; when it fails (its name, its certificate, its answer, another app), a tunnel to a port of this machine takes its place.

        It goes back when the domain has been well for a minute, and not more than once in ten minutes.

        Args:
            address: app.example.org, or https://app.example.org.
            tunnel_to: the port of this machine that the app listens on, too.
            chain: providers for the tunnel; without any, what suits where we are.
            options: of providers.
            expect: a text that the right app shows on that page.
            every: seconds between two looks at the domain.
            wait: seconds to wait until one of them is proved; 0 returns at once.

        Raises:
            QCityError: it cannot be meant, or is not allowed here.
        """
        url = address if "://" in address else f"https://{address}"
        host = urlsplit(url).hostname
        if not host or urlsplit(url).path not in ("", "/"):
            raise BadInput(f'"{address}" is no domain', "Write it as app.example.org")
        asked = [one.strip() for one in chain.split(",")] if isinstance(chain, str) and chain else list(chain)
        wanted = [one for one in asked or places.default_chain(places.detect(os.environ)) if one != OWN]
        mine = {f"{OWN}.url": url.rstrip("/"), f"{OWN}.every": f"{every:g}", **({f"{OWN}.expect": expect} if expect else {})}
        return self._tunnels.open(
            tunnel_to, name=host, chain=[OWN, *wanted], options={**dict(options or {}), **mine}, public=public, domain=host, wait=wait
        )

    def drop(self, host: str) -> None:
        """Watch it no more; a tunnel that stands in for it is closed."""
        self[host].close()

    def rows(self) -> list[TunnelRow]:
        """What is known of those that are watched, by name."""
        with self._link.read() as connection:
            watched = {
                row.name for row in services.all_of(connection, self._link.place) if row.spec.kind == KIND and row.spec.options.get("domain")
            }
        return [row for row in self._tunnels.rows() if row.name in watched]

    def __getitem__(self, host: str) -> Tunnel:
        known = [row.name for row in self.rows()]
        if host not in known:
            raise NotFound(f'no domain "{host}" is watched', did_you_mean(host, known, what="domain"))
        return Tunnel(self._link, host)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter([Tunnel(self._link, row.name) for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def _ipython_key_completions_(self) -> list[str]:
        return [row.name for row in self.rows()]

    def __repr__(self) -> str:
        return "\n".join(f"{line(row.name)}: {sentence_of(row)[1]}" for row in self.rows()) or "no domain is watched"

    def _html(self) -> str:
        rows = [(line(row.name), Html(mark(*sentence_of(row))), row.view.url) for row in self.rows()]
        return table("", ("domain", "", "visitors are led to"), rows, empty="No domain is watched.")


def sentence_of(row: TunnelRow) -> tuple[Level, str]:
    """How a domain is, for people."""
    view = row.view
    if view.provider == OWN:
        return LEVELS[view.state], "is well"
    why = next((one.text for one in view.tried if one.provider == OWN), view.reason)
    if view.url:
        return Level.WARN, f"fails ({why}); {view.provider} stands in for it since {since(view.since, now())}"
    return LEVELS[view.state], f"fails ({why}), and nothing stands in for it" if why else "is being looked at"
