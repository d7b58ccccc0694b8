"""Checks the links of files in two tiers: all by HTTP and on the disk, then those of tunnels, dashboards and notebooks, and oddities, with a browser.

What the ledger of addresses knows needs no asking: an address that a tunnel had leads wrong, whoever answers there now.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import msgspec

from ..decide import linkcheck, links, linkscan
from ..decide.health import Level
from ..decide.wording import count, line
from ..errors import BadInput
from ..io import browser as eyes
from ..io.fetch import Fetcher, Manners
from ..model.home import Home
from ..model.linkcheck import Answer, Checked, Sight, Site, Spot, Verdict
from ..model.tunnel import Issued
from .tables import Html, Shown, mark, table

READ = (".md", ".markdown", ".html", ".htm", ".ipynb")
LARGEST = 32 << 20
LEVELS = {Verdict.OK: Level.WELL, Verdict.BROKEN: Level.BAD, Verdict.UNKNOWN: Level.WARN}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Words that have to be on the pages of an address."""

    origin: str
    text: str


class CheckReport(Shown):
    """What is known of the links of some files.

    Args:
        checked: each link in each place.
        files: how many files were read.
        skipped: links that were not asked for: private, or examples.
        looked: how many pages were looked at with a browser.
        note: what a reader should know of the check itself.
    """

    def __init__(self, checked: Sequence[Checked], *, files: int, skipped: int, looked: int, note: str = "") -> None:
        self.checked, self.files, self.skipped, self.looked, self.note = list(checked), files, skipped, looked, note

    @property
    def ok(self) -> bool:
        """Whether no link is broken; what is unknown says nothing."""
        return not self.of(Verdict.BROKEN)

    @property
    def fixable(self) -> list[Checked]:
        """Links with an address that a tunnel had, where it has another one now."""
        return [one for one in self.checked if one.new]

    def of(self, verdict: Verdict) -> list[Checked]:
        """The links of which this is known."""
        return [one for one in self.checked if one.verdict is verdict]

    def repairs(self) -> Iterator[tuple[str, str, list[str]]]:
        """Tunnel, its address now, and the files with an old one."""
        for name, new in dict.fromkeys((one.tunnel, one.new) for one in self.fixable):
            yield name, new, list(dict.fromkeys(one.spot.path for one in self.fixable if one.tunnel == name))

    def sentence(self) -> str:
        """How it is."""
        total, broken, unknown = len(self.checked), len(self.of(Verdict.BROKEN)), len(self.of(Verdict.UNKNOWN))
        state = f"{count(broken, 'is', 'are')} broken" if broken else "none is broken"
        more = f", of {unknown} nobody could tell" if unknown else ""
        skipped = f", {count(self.skipped, 'private one was', 'private ones were')} left out" if self.skipped else ""
        return f"{count(total, 'link')} in {count(self.files, 'file')}: {state}{more}{skipped}.{f' {self.note}' if self.note else ''}"

    def __repr__(self) -> str:
        bad = [*self.of(Verdict.BROKEN), *self.of(Verdict.UNKNOWN)]
        return "\n".join((self.sentence(), *(f"  {LEVELS[one.verdict].glyph} {_where(one.spot)}: {line(one.spot.url)} - {one.why}" for one in bad)))

    def _html(self) -> str:
        bad = [*self.of(Verdict.BROKEN), *self.of(Verdict.UNKNOWN)]
        rows = [(Html(mark(LEVELS[one.verdict], one.verdict.value)), line(one.spot.url), _where(one.spot), one.why, one.shot) for one in bad]
        return table(self.sentence(), ("", "link", "where", "why", "picture"), rows, empty="")


def examine(
    home: Home,
    paths: Iterable[str],
    *,
    issued: Sequence[Issued] = (),
    browser: bool | None = None,
    private: bool = False,
    offline: bool = False,
    expected: Sequence[Expected] = (),
    manners: Manners | None = None,
) -> CheckReport:
    """Check the links of files. Blocks for as long as servers take; call it in a thread where something else has to go on.

    Args:
        paths: files, or folders of them.
        issued: the ledger of addresses.
        browser: look at pages with a browser too (None: where there is one).
        private: also ask addresses of private networks; those that we issued are asked anyway.
        offline: only look at what needs no network.
        expected: what has to be on the pages of an address.

    Raises:
        BadInput: there is no such file.
        MissingTool: a browser was asked for, and there is none.
    """
    files = list(files_of(paths))
    done: list[Checked] = []
    asked: list[Spot] = []
    skipped = 0
    for path in files:
        for spot in linkscan.links_of(path, _text(path)):
            if not urlsplit_safe(spot.url):
                done.append(Checked(spot=spot, verdict=Verdict.BROKEN, why="it is no address"))
            elif spot.url.startswith(("http://", "https://", "//")):
                spot = spot if not spot.url.startswith("//") else msgspec.structs.replace(spot, url=f"https:{spot.url}")  # noqa: PLW2901
                owned = linkcheck.owner(spot.url, issued)
                if owned and owned.ended:
                    done.append(_ended(spot, owned))
                elif offline or (linkcheck.is_private(spot.url) and not private and not owned):
                    skipped += 1
                else:
                    asked.append(spot)
            elif not urlsplit(spot.url).scheme:
                done.append(_on_disk(spot))
    fetcher = Fetcher(home.link_checks / "answers.json", read=_read, again=linkcheck.AGAIN, manners=manners)
    answered, note = _by_http(fetcher, asked, issued)
    answers = {one.spot.url: one for one in answered}
    sights = _by_browser(home, [one for one in answered if _interesting(one, issued, fetcher, expected)], wanted=browser)
    for spot in asked:
        found = msgspec.structs.replace(answers[spot.url], spot=spot)
        done.append(_seen(found, sights[spot.url], expected) if spot.url in sights else found)
    order = {path: number for number, path in enumerate(files)}
    done.sort(key=lambda one: (order[one.spot.path], one.spot.line))
    return CheckReport(done, files=len(files), skipped=skipped, looked=len(sights), note=note)


def files_of(paths: Iterable[str]) -> Iterator[str]:
    """The files that are meant, absolute. Raises `BadInput` for one that is not there."""
    for path in dict.fromkeys(Path(one).expanduser().absolute() for one in paths):
        if not path.exists():
            raise BadInput(f"there is no {path}", "Name files or folders that are there")
        if path.is_file():
            yield str(path)
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if name not in links.SKIPPED)
            yield from (str(Path(folder) / name) for name in sorted(names) if name.lower().endswith(READ))


def urlsplit_safe(url: str) -> bool:
    """Whether an address can be taken apart at all."""
    try:
        return urlsplit(url).port is None or bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _by_http(fetcher: Fetcher, spots: list[Spot], issued: Sequence[Issued]) -> tuple[list[Checked], str]:
    """The first tier: one answer for each address."""
    urls = list(dict.fromkeys(spot.url for spot in spots))
    plain = list(dict.fromkeys(urldefrag(url).url for url in urls))
    whole = frozenset(urldefrag(url).url for url in urls if urldefrag(url).fragment)
    answers = fetcher.ask(plain, whole=whole)
    nowhere = linkcheck.without_network(list(answers.values()))
    found = []
    first = {spot.url: spot for spot in reversed(spots)}
    for url in urls:
        clean, fragment = urldefrag(url)
        verdict, why = linkcheck.judge(answers[clean], fragment=fragment)
        if nowhere and verdict is Verdict.BROKEN:
            verdict, why = Verdict.UNKNOWN, "this machine reaches nobody"
        owned = linkcheck.owner(url, issued)
        if verdict is Verdict.OK and owned and not _ours(fetcher, url, issued):
            verdict, why = Verdict.BROKEN, f"something else answers under the address of the tunnel {owned.tunnel}"
        found.append(Checked(spot=first[url], verdict=verdict, why=why, tunnel=owned.tunnel if owned else ""))
    return found, "This machine reaches nobody, so nothing was judged by HTTP." if nowhere else ""


def _ours(fetcher: Fetcher, url: str, issued: Sequence[Issued]) -> bool:
    """Whether a door of ours answers nonces there; a host that wants to know who asks is believed."""
    origin = next(one.origin for one in reversed(list(issued)) if url.startswith(one.origin))
    status, text = fetcher.text(f"{origin}/.well-known/qcity/{secrets.token_hex(16)}")
    return status in (0, 401, 403, 429) or 300 <= status < 400 or (status == 200 and len(text.strip()) == 64)


def _interesting(one: Checked, issued: Sequence[Issued], fetcher: Fetcher, expected: Sequence[Expected]) -> bool:
    url = one.spot.url
    if one.verdict is Verdict.BROKEN:
        return False
    answer = fetcher.known(urldefrag(url).url)
    site = linkcheck.site_of(url, linkcheck.owner(url, issued))
    return site is not Site.OTHER or (answer is not None and linkcheck.odd(answer)) or any(url.startswith(want.origin) for want in expected)


def _by_browser(home: Home, chosen: list[Checked], *, wanted: bool | None) -> dict[str, Sight]:
    """The second tier. Without a browser nothing is looked at, unless it was asked for."""
    if wanted is False or not chosen or (wanted is None and not eyes.ready()):
        return {}
    urls = [one.spot.url for one in chosen]
    return dict(zip(urls, eyes.look(urls, shots=home.link_checks / "shots"), strict=True))


def _seen(found: Checked, sight: Sight, expected: Sequence[Expected]) -> Checked:
    words = next((one.text for one in expected if sight.url.startswith(one.origin)), "")
    verdict, why = linkcheck.judge_sight(sight, expected=words)
    if verdict is Verdict.OK:
        if sight.shot:
            Path(sight.shot).unlink(missing_ok=True)
        return found
    return msgspec.structs.replace(found, verdict=verdict, why=why, shot=sight.shot)


def _ended(spot: Spot, owned: linkcheck.Owned) -> Checked:
    todo = "qcity links check --fix rewrites it" if owned.new else f"qcity tunnel show {owned.tunnel} says how the tunnel is"
    why = f"the tunnel {owned.tunnel} {f'is at {owned.new} now' if owned.new else 'has no address now'}; whoever answers there is somebody else"
    return Checked(spot=spot, verdict=Verdict.BROKEN, why=why, todo=todo, tunnel=owned.tunnel, new=owned.new)


def _on_disk(spot: Spot) -> Checked:
    """A link to a file beside, or to a place in this one."""
    path, fragment = urldefrag(spot.url)
    name = unquote(path.partition("?")[0])
    top = Path(spot.path).parent
    if name.startswith("/"):
        top = next((one for one in (top, *top.parents) if (one / ".git").exists()), top)
    target = Path(os.path.normpath(top / name.lstrip("/"))) if name else Path(spot.path)
    if not target.exists():
        return Checked(spot=spot, verdict=Verdict.BROKEN, why=f"there is no {name}")
    if fragment and target.is_file() and target.name.lower().endswith(READ):
        names = linkscan.anchors_of(target.name, _text(str(target)))
        verdict, why = linkcheck.judge(Answer(url=spot.url, status=200, kind="text/html", anchors=names), fragment=fragment)
        return Checked(spot=spot, verdict=verdict, why=why)
    return Checked(spot=spot, verdict=Verdict.OK, why="")


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "Make it readable, or leave it out") from None


def _read(page: str) -> tuple[str, tuple[str, ...]]:
    return linkscan.title_of(page), linkscan.anchors_of("page.html", page)


def _where(spot: Spot) -> str:
    return f"{os.path.relpath(spot.path)}:{spot.line}"
