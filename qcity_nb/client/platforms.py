"""What GitHub, GitLab, Hugging Face and others say of themselves: asked once a minute by the engine, kept in the store, shown with its age."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..decide import platforms as rules
from ..decide.health import Condition
from ..decide.wording import did_you_mean, line
from ..errors import BadInput, NotFound
from ..io.files import is_locked
from ..model.platform import Family, Feed
from ..store import platforms as store
from ..store.platforms import PlatformRow
from .link import Link, now
from .tables import Html, Shown, mark, table


class Platforms(Shown):
    """The platforms that are watched here; `platforms["github"]` is one of them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def watch(self, *names: str) -> Platforms:
        """Ask these from now on, once a minute.

        Args:
            names: cloudflare, dagshub, github, gitlab, google-cloud, huggingface, ngrok, vercel.

        Raises:
            BadInput: one is not known; nothing was changed.
        """
        if not names:
            raise BadInput("no platform was named", f"Known are {', '.join(sorted(rules.FEEDS))}")
        for name in names:
            if name not in rules.FEEDS:
                raise BadInput(f'no platform "{line(name, limit=60)}" is known', did_you_mean(name, sorted(rules.FEEDS), what="platform"))
        for name in names:
            self._link.ask("platform.watch", name)
        return self

    def add(self, name: str, url: str, *, family: str = "statuspage", title: str = "", parts: tuple[str, ...] | list[str] = ()) -> Platforms:
        """Ask any other page that says in one of the known forms how something is: your own, or a vendor's.

        Args:
            name: what it is called here.
            url: what is asked: of a Statuspage, https://status.example.org/api/v2/summary.json.
            family: statuspage, status.io, betterstack, google; answers only asks whether anybody answers there.
            title: what people read.
            parts: the parts of it that count; without any, all do.

        Raises:
            BadInput: it cannot be meant.
        """
        families = [one.value for one in Family]
        if family not in families:
            raise BadInput(f'no status page has the form "{line(family, limit=40)}"', did_you_mean(family, families, what="form"))
        if not url.startswith(("https://", "http://")) or any(letter.isspace() for letter in url):
            raise BadInput(f'"{line(url, limit=80)}" is not the address of a page', "Write it as https://status.example.org/api/v2/summary.json")
        feed = Feed(title=title or name, url=url, family=Family(family), page=url, parts=tuple(parts))
        self._link.ask("platform.watch", name, {"feed": msgspec.to_builtins(feed)})
        return self

    def drop(self, name: str) -> None:
        """Ask it no more. Raises `NotFound` when it is not watched."""
        self._link.ask("platform.drop", name)

    def rows(self) -> list[PlatformRow]:
        """Those that are watched, by name, and what each said last."""
        with self._link.read() as connection:
            return store.all_of(connection, self._link.place)

    def condition(self, row: PlatformRow) -> Condition:
        """How one says it is, now."""
        return rules.condition(row.feed, row.view, now(), alive=is_locked(self._link.store.home.lock))

    def __getitem__(self, name: str) -> PlatformRow:
        found = {row.name: row for row in self.rows()}
        if name not in found:
            raise NotFound(f'no platform "{line(name, limit=60)}" is watched', did_you_mean(name, sorted(found), what="platform"))
        return found[name]

    def __iter__(self) -> Iterator[PlatformRow]:
        return iter(self.rows())

    def __len__(self) -> int:
        return len(self.rows())

    def _ipython_key_completions_(self) -> list[str]:
        return [row.name for row in self.rows()]

    def __repr__(self) -> str:
        return "\n".join(f"{line(row.feed.title)} {self.condition(row).text}" for row in self.rows()) or "no platform is watched"

    def _html(self) -> str:
        shown = [(row, self.condition(row)) for row in self.rows()]
        rows = [(line(row.feed.title), Html(mark(one.level, one.text)), row.feed.page) for row, one in shown]
        return table("", ("platform", "", "where it says so"), rows, empty="No platform is watched.")
