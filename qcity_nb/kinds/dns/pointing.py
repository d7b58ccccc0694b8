"""Pointing names that a person owns, within a budget of changes; and the dead man's switch, which a watcher elsewhere runs now and then.

When each record was changed is noted in a file of the home, one line each, so that a watcher that is started anew by a schedule knows it too.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timezone

from ...decide import deadman
from ...decide import pointer as rules
from ...decide.deadman import Change, Watched
from ...decide.pointer import Reading, Signpost
from ...decide.wording import span
from ...errors import Refused
from ...io import signing
from ...io.files import bound, tail
from ...model.home import Home
from ...model.tunnel import Followed, Pointer
from ...ports import Publisher
from .. import load
from . import records

NOTES, NOTES_LIMIT = "dns-changes", 64 << 10


def look(pointer: Pointer, *, key: str, service: str, home: Home, now: datetime) -> tuple[Reading, Signpost | None, str | None]:
    """What a pointer says to somebody who trusts one public key: what to make of it, what it says, its text. Raises `QCityError`."""
    publisher: Publisher = load("dns", pointer.kind)
    publisher.check(pointer)
    text = publisher.read(pointer, home=home)
    return (*rules.judge(text, lambda said, by: signing.verify(key, said, by), now=now, service=service), text)


def point(pointer: Pointer, change: Change, *, home: Home, now: datetime) -> str:
    """Make a change where the record is as expected, and not too often.

    Raises:
        Refused: that record was changed too often in the last hour.
        PlatformError: the service refused; `conflict` when somebody else has changed it.
    """
    deadman.check_change(change)
    wait = deadman.too_many(_changes(home, change.name), now)
    if wait is not None:
        what = f"{change.name} was changed {deadman.MOST} times within an hour: it would change again before resolvers have seen the last one"
        raise Refused(what, f"It may be changed again in {span(wait)}; find out why it goes back and forth")
    said = records(pointer.kind).point(pointer, change, home=home)
    _note(home, change.name, now)
    return said


def watch(pointer: Pointer, watched: Watched, *, key: str, service: str, home: Home, now: datetime) -> Followed:
    """Point a record to the fallback if the pointer's lease has lapsed; once and out, for a schedule.

    Args:
        key: the public key of the runner's home.
        home: of the watcher: its credentials.

    Returns:
        `changed` is 1 when the record was changed.

    Raises:
        QCityError: it could not be looked at or changed; a runner that came back meanwhile is a `conflict`, and nothing was changed.
    """
    began = time.monotonic()
    reading, post, text = look(pointer, key=key, service=service, home=home, now=now)
    current = records(pointer.kind).record(pointer, watched.name, watched.kind, home=home)
    change = deadman.lapsed(watched, reading, post, text=text, current=current, now=now)
    if change is None:
        said = f"nothing is to be done: the pointer is {reading.value}, {watched.name} leads to {current or 'nothing'}"
        return Followed(ok=True, text=said, address=current or "", took=time.monotonic() - began)
    said = point(pointer, change, home=home, now=now)
    return Followed(ok=True, text=f"the lease has lapsed: {said}", address=change.value, changed=1, took=time.monotonic() - began)


def _changes(home: Home, name: str) -> list[datetime]:
    found = []
    for one in tail(home.root / NOTES, lines=1000):
        with contextlib.suppress(ValueError):  # a line that was cut off by a full disk
            moment, _, which = one.partition(" ")
            if which.lower() == name.rstrip(".").lower():
                found.append(datetime.fromtimestamp(float(moment), timezone.utc))
    return found


def _note(home: Home, name: str, now: datetime) -> None:
    path = home.root / NOTES
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{now.timestamp():.0f} {name.rstrip('.').lower()}\n")
    bound(path, limit=NOTES_LIMIT)
