"""Tunnels: opened, looked at, tested, closed. `tunnel.url` is read anew each time, so it follows every change of provider."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..decide import places
from ..decide.health import Level
from ..decide.tunnel_health import LEVELS, condition, why_not
from ..decide.wording import did_you_mean, line, span
from ..errors import BadInput, NotFound, QCityError, Refused
from ..model.service import Phase
from ..model.tunnel import Issued, Page, Pointer, Reach, TunnelState, TunnelView
from ..store import services
from ..store import tunnels as store
from ..store.services import Flip
from ..store.tunnels import FollowerRow, TunnelRow
from .link import Link, now
from .tables import Html, Shown, clock, escape, facts, frame, mark, table

if TYPE_CHECKING:
    import pandas as pd

KIND = "tunnel"
WAIT_SECONDS = 60.0
COLUMNS = {"name": "text", "state": "text", "url": "text", "provider": "text", "generation": "whole", "latency_s": "number", "proved": "moment"}


class Tunnel(Shown):
    """One tunnel, by its name."""

    def __init__(self, link: Link, name: str) -> None:
        self._link, self.name = link, name

    @property
    def row(self) -> TunnelRow:
        """What the store knows of it: one picture of one moment."""
        with self._link.read() as connection:
            row = store.get(connection, self._link.place, self.name)
        if row is None:
            raise NotFound(f'there is no tunnel "{self.name}"', "qcity tunnel list shows the ones there are")
        return row

    @property
    def view(self) -> TunnelView:
        """How it was at its last word."""
        return self.row.view

    @property
    def url(self) -> str:
        """Its address now; empty while there is none."""
        return self.view.url

    @property
    def sentence(self) -> str:
        """How it is, for people."""
        return condition(self.view, now(), alive=self._alive()).text

    def wait(self, seconds: float = WAIT_SECONDS, *, after: int = 0) -> Tunnel:
        """Until it has an address that is proved, of a generation above `after`.

        Raises:
            QCityError: it has none in time, or every provider needs a person; the sentence says what each of them said.
        """
        view = self.view
        for _ in self._link.until(seconds):
            view = self.view
            if view.url and view.generation > after:
                return self
            if view.state is TunnelState.EXHAUSTED:
                break
        raise Refused(f"the tunnel {self.name} has no address: {why_not(view)}", _todo(view), permanent=False)

    def test(self, seconds: float = 10.0) -> TunnelView:
        """Ask a nonce through its address now, and tell what follows it again; how it is then.

        Raises:
            QCityError: it did not come back in time.
        """
        begun = now()
        self._link.ask("tunnel.test", self.name)
        for _ in self._link.until(seconds):
            view = self.view
            if view.proved is not None and view.proved >= begun:
                return view
            if view.state in (TunnelState.EXHAUSTED, TunnelState.WAITING, TunnelState.NETWORK_DOWN):
                break
        raise Refused(f"no nonce came back through the tunnel {self.name}: {why_not(self.view)}", _todo(self.view), permanent=False)

    def close(self) -> None:
        """End it. What was written down of its address stays, and is rewritten when a tunnel of this name is opened again."""
        self._link.ask("tunnel.close", self.name)
        for _ in self._link.until(10.0):
            if self.view.state is TunnelState.OFF:
                return

    def story(self, limit: int = 20) -> list[Flip]:
        """What happened to it, oldest first."""
        with self._link.read() as connection:
            return services.flips_about(connection, self._link.place, "tunnel", self.name, limit=limit)

    def addresses(self) -> list[Issued]:
        """Every address that it ever had, oldest first."""
        with self._link.read() as connection:
            return store.issued_of(connection, self._link.place, tunnel=self.name)

    def followers(self) -> list[FollowerRow]:
        """What follows its address, and what came of telling it."""
        with self._link.read() as connection:
            return store.followers_of(connection, self._link.place, tunnel=self.name)

    def pointer(self, kind: str, name: str, **options: str) -> str:
        """Publish a signed pointer to this address in the DNS, renewed while it is well.

        Args:
            kind: rfc2136, lexicon, cloudflare, duckdns.
            name: of the TXT record, as _qcity.app.example.org.
            options: of that kind; a credential is named, never given.

        Returns:
            Its key, for `unfollow`.
        """
        return self._follow(Pointer(kind=kind, name=name, options=options))

    def page(self, kind: str, target: str, *, low_data: Iterable[str] = (), **options: str) -> str:
        """Publish a fallback page: one small static page that sends people to this address, or says since when there is none.

        Args:
            kind: folder, git, huggingface.
            target: the folder, the repository, the Space.
            low_data: mirrors that you know to be free or cheap for your readers; shown as claimed by you, not checked.
            options: of that kind.

        Returns:
            Its key, for `unfollow`.
        """
        target = str(Path(target).absolute()) if kind == "folder" else target
        return self._follow(Page(kind=kind, target=target, options=options, low_data=tuple(low_data)))

    def unfollow(self, key: str) -> None:
        """Have something follow this address no more; what it was last told stays there."""
        self._link.ask("follow.drop", self.name, {"key": key})

    def _follow(self, follower: Pointer | Page) -> str:
        return str(self._link.ask("follow.put", self.name, {"follower": msgspec.to_builtins(follower)})["key"])

    def _alive(self) -> bool:
        with self._link.read() as connection:
            row = next((one for one in services.all_of(connection, self._link.place) if one.name == self.name), None)
        return row is not None and row.spec.kind == KIND and row.state.phase is not Phase.STOPPED

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"<Tunnel {self.name} · {line(self.sentence)}>"

    def _html(self) -> str:
        row, view = self.row, self.row.view
        safe = view.url.startswith(("http://", "https://"))
        link = Html(f'<a href="{escape(view.url)}" rel="noopener">{escape(view.url)}</a>') if safe else view.url
        public = view.reach is Reach.PUBLIC
        pairs = [
            ("", Html(mark(LEVELS[view.state], self.sentence))),
            ("address", link),
            ("who can open it", Html(f'<b style="color:#d55e00">{escape(view.reach.value)}</b>') if public and view.reach else _reach(view)),
            ("provider", f"{view.provider} (generation {view.generation}, for {span(now() - view.since)})" if view.provider else ""),
            ("answers in", f"{view.latency * 1000:.0f} ms" if view.latency is not None else ""),
            ("closes by itself", f"{clock(view.until)} UTC, in {span(max((view.until - now()).total_seconds(), 0))}" if view.until else ""),
            ("program", view.binary),
            *((f"{one.provider} did not do", f"{one.text}. {one.todo}".strip(". ") + ".") for one in view.tried),
        ]
        told = [(follower.key, Html(_outcome(follower)), clock(follower.at)) for follower in self.followers()]
        followers = table("What follows it", ("", "", "told (UTC)"), told, empty="Nothing.") if told else ""
        return facts(f"Tunnel {row.name} → port {view.port}", pairs) + followers


class Tunnels(Shown):
    """The tunnels of a place; `tunnels["app"]` is one."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def open(
        self,
        port: int,
        *,
        name: str = "",
        chain: str | Iterable[str] = (),
        options: Mapping[str, str] | None = None,
        ttl: float | None = None,
        deadline: float = 15.0,
        public: bool = False,
        domain: str = "",
        wait: float = WAIT_SECONDS,
    ) -> Tunnel:
        """Open an address that leads to a port of this machine; the first provider whose address is proved gets it.

        Args:
            port: where the app listens, on this machine.
            name: what to call it; without one, after its port.
            chain: providers by preference; without any, what suits where we are.
            options: of providers, as `{"ssh.host": "example.org"}`. Never a secret.
            ttl: seconds after which it is closed by itself.
            deadline: seconds that each provider is given.
            public: on Colab and its like: everybody may reach it, and the terms were read.
            domain: the name of a person's own that this tunnel stands in for; `city.domains.watch` says it.
            wait: seconds to wait for an address; 0 returns at once.

        Raises:
            QCityError: it cannot be meant, is not allowed here, or there was no address in time (it goes on trying).
        """
        venue = places.detect(os.environ)
        wanted = tuple(one.strip() for one in chain.split(",")) if isinstance(chain, str) and chain else tuple(chain)
        wanted, given, known = wanted or places.default_chain(venue), dict(options or {}), name or f"port-{port}"
        if "colab" in wanted and "colab.url" not in given:
            given |= _from_colab(port)
        plan = {"port": port, "chain": wanted, "options": given, "ttl": ttl, "deadline": deadline, "public": public, "domain": domain}
        self._link.ask("tunnel.open", known, plan)
        made = Tunnel(self._link, known)
        return made.wait(wait) if wait else made

    def rows(self) -> list[TunnelRow]:
        """What the store knows of them, by name; closed ones too."""
        with self._link.read() as connection:
            return store.all_of(connection, self._link.place)

    def frame(self) -> pd.DataFrame:
        """The tunnels as a pandas frame."""
        views = [row.view for row in self.rows()]
        found = [
            {
                "name": view.name,
                "state": view.state.value,
                "url": view.url,
                "provider": view.provider,
                "generation": view.generation,
                "latency_s": view.latency,
                "proved": view.proved,
            }
            for view in views
        ]
        return frame(COLUMNS, found)

    def __getitem__(self, name: str) -> Tunnel:
        known = [row.name for row in self.rows()]
        if name not in known:
            raise NotFound(f'there is no tunnel "{name}"', did_you_mean(name, known, what="tunnel"))
        return Tunnel(self._link, name)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter([Tunnel(self._link, row.name) for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def _ipython_key_completions_(self) -> list[str]:
        return [row.name for row in self.rows()]

    def __repr__(self) -> str:
        return "\n".join(f"{row.name}: {sentence_of(row)}" for row in self.rows()) or "no tunnel yet"

    def _html(self) -> str:
        rows = [
            (line(row.name), Html(mark(LEVELS[row.view.state], sentence_of(row))), row.view.url, row.view.provider, row.view.generation or "")
            for row in self.rows()
        ]
        return table("", ("tunnel", "", "address", "provider", "generation"), rows, empty="No tunnel yet: city.tunnels.open(8888) opens one.")


def sentence_of(row: TunnelRow) -> str:
    """How a tunnel was at its last word, for people."""
    return condition(row.view, now()).text


def _todo(view: TunnelView) -> str:
    return condition(view, now()).todo


def _reach(view: TunnelView) -> str:
    return view.reach.value if view.reach else ""


def _outcome(row: FollowerRow) -> str:
    if row.last is None:
        return mark(Level.OFF, "not told yet")
    return mark(Level.WELL if row.last.ok else Level.BAD, f"{row.last.text}. {row.last.todo}".strip(". ") + ".")


def _from_colab(port: int) -> dict[str, str]:
    """The address that Colab's front end gives this kernel for a port; only there, and only with a browser before it."""
    try:
        from google.colab import output  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise BadInput("only a Colab notebook has Colab's own proxy", "Run this in a cell there, or name another provider") from None
    try:
        found = output.eval_js(f"google.colab.kernel.proxyPort({int(port)})", timeout_sec=10)
    except QCityError:
        raise
    except Exception as error:  # noqa: BLE001 - of Colab's library, which names no class of its own
        raise Refused(f"Colab gave no address ({error})", "Keep the notebook open in a browser and run the cell again", permanent=False) from None
    return {"colab.url": str(found).rstrip("/")}
