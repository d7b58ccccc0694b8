"""Carrying a tunnel's address to what follows it: signed, put into the DNS or into a fallback page. Blocking; it never raises what a person can read.

A tunnel that was closed publishes its last address with a lease that is over at once: readers say offline now, not when the lease would have run out,
and since nobody else can sign that, nobody else can say so. If that cannot be published either, the pointer lapses by itself.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

from ..decide import page as pages
from ..decide import pointer as rules
from ..decide.pointer import Reading, Signpost
from ..errors import BadInput, PlatformError, QCityError, Refused
from ..io import signing
from ..model.home import Home
from ..model.tunnel import Followed, Page, Pointer
from ..ports import PageKind, Publisher
from . import load
from .pages import template


def check(follower: Pointer | Page) -> None:
    """Whether it can be followed at all; reaches nothing. Raises `BadInput`, `Refused` or `MissingTool`."""
    rules.lease(follower)
    if isinstance(follower, Pointer):
        load("dns", follower.kind).check(follower)
    else:
        load("pages", follower.kind).check(follower)
        pages.check(_facts(follower, service="x", key=""))


def carry(follower: Pointer | Page, *, tunnel: str, url: str, generation: int, home: Home, last: Followed | None, now: datetime) -> Followed:
    """Publish where a tunnel is; at each new address, and again after `decide.pointer.renewal`.

    Args:
        tunnel: its name: the service of the pointer.
        url: its address; empty when it was closed or gave up.
        generation: of the address.
        last: what this returned before; None when it is not known.
        now: the wall clock.

    Returns:
        `address` is the text that was published (the last good one when this failed), `text` one sentence.
    """
    began = time.monotonic()
    before = last.address if last is not None else ""
    try:
        check(follower)
        text = _text(follower, tunnel=tunnel, url=url, generation=generation, home=home, before=before, now=now)
        if isinstance(follower, Page):
            done = Followed(ok=True, text=_publish(follower, tunnel, text, home, now), address=text)
        elif text:
            done = _point(follower, tunnel, text, generation, home, before, now)
        else:
            done = Followed(ok=True, text=f"{follower.name} was never published: there was no address yet")
    except QCityError as error:
        done = Followed(ok=False, text=error.what, todo=error.todo, address=before)
    except OSError as error:  # a disk that is full, a home that went away: no reason to end a tunnel that works
        done = Followed(ok=False, text=f"the address could not be carried on ({error.strerror or error})", todo="It is tried again", address=before)
    changed = int(done.ok and done.address != before)
    return replace(done, generation=generation if done.ok else last.generation if last else 0, changed=changed, took=time.monotonic() - began)


def _text(follower: Pointer | Page, *, tunnel: str, url: str, generation: int, home: Home, before: str, now: datetime) -> str:
    """The signed text; empty when there was never an address. What was published before says since when an address is live."""
    try:
        old = rules.parse(before) if before else None
    except BadInput:
        old = None
    if not url and old is None:
        return ""
    same = old is not None and old.generation == generation and old.url == url
    if url:
        since = old.since if same and old is not None else now
        post = Signpost(service=tunnel, url=url, generation=generation, since=since, until=now + rules.lease(follower))
    else:
        assert old is not None
        post = replace(old, generation=max(generation, old.generation), until=min(old.until, now))
    return rules.encode(post, lambda text: signing.sign(home, text))


def _point(follower: Pointer, tunnel: str, text: str, generation: int, home: Home, before: str, now: datetime) -> Followed:
    """Publish where nobody else did; a conflict with our own word, or with one that has lapsed, is none."""
    publisher: Publisher = load("dns", follower.kind)
    key = signing.public_key(home)
    expected: str | None = before or None
    for tried in range(3):
        if expected is None:
            found = publisher.read(follower, home=home)
            why = rules.may_replace(found, lambda said, by: signing.verify(key, said, by), now=now, service=tunnel, generation=generation)
            if why:
                raise Refused(f"{follower.name} belongs to somebody else now: {why}", "End the other one, or wait until its lease is over")
            expected = found or ""
        try:
            return Followed(ok=True, text=publisher.publish(follower, text, expected=expected, home=home), address=text)
        except PlatformError as error:
            if error.kind != "conflict" or tried == 2:
                raise
            expected = None
    raise AssertionError("the last attempt raises")


def _publish(page: Page, tunnel: str, text: str, home: Home, now: datetime) -> str:
    kind: PageKind = load("pages", page.kind)
    facts = _facts(page, service=tunnel, key=signing.public_key(home))
    files: dict[str, bytes] = {}
    if text:
        reading, post = rules.judge(text, lambda _said, _by: True, now=now)
        facts = replace(facts, text=text, post=post, live=reading is Reading.LIVE)
        files[pages.JSON_FILE] = rules.as_json(text)
    return kind.publish(page, {pages.FILE: pages.build(template(), facts), **files}, home=home)


def _facts(page: Page, *, service: str, key: str) -> pages.Facts:
    options = page.options
    if (given := options.get("redirect", "no")) not in ("yes", "no"):
        raise BadInput(f'redirect is yes or no, not "{given}"')
    return pages.Facts(
        service=service,
        key=key,
        title=options.get("title", ""),
        name=options.get("pointer", ""),
        doh=options.get("doh", ""),
        hosts=tuple(part.strip() for part in options.get("hosts", "").split(",") if part.strip()),
        contact=options.get("contact", ""),
        low_data=page.low_data,
        redirect=given == "yes",
    )
