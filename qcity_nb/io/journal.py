"""The journal of changes in people's files, below the home: one JSON file for each change, written before the first file is touched.

It also remembers which files hold what we wrote last, so that a file whose only uncommitted change is ours can follow the next address too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import HomeError, NotFound, Refused
from ..model.home import Home
from ..model.link import Change
from .files import try_lock, write_atomic

KEPT = 500
"""Changes that can be looked at and rolled back."""
LOCK_SECONDS = 20.0


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the journal: one change at a time, whoever makes it.

    Raises:
        Refused: somebody else has held it for too long.
        HomeError: its folder cannot be written.
    """
    try:
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.links.mkdir(mode=0o700, exist_ok=True)
        end = time.monotonic() + LOCK_SECONDS
        while (handle := try_lock(home.links / "lock")) is None:
            if time.monotonic() > end:
                raise Refused("another change of links is under way", "Try again when it is done", permanent=False)
            time.sleep(0.005)
    except OSError as error:
        raise HomeError(f"the journal of links in {home.links} cannot be written ({error.strerror})", "Give the folder to this user") from None
    try:
        yield
    finally:
        os.close(handle)


def numbers(home: Home) -> list[int]:
    """The numbers of the changes, oldest first."""
    try:
        return sorted(int(name[:-5]) for name in os.listdir(home.links) if name.endswith(".json") and name[:-5].isdecimal())
    except FileNotFoundError:
        return []


def put(home: Home, change: Change, *, durable: bool) -> None:
    """Write a change down."""
    write_atomic(_file(home, change.number), msgspec.json.encode(change), sync=durable)


def get(home: Home, number: int) -> Change:
    """One change.

    Raises:
        NotFound: there is none of that number, or it cannot be read any more.
    """
    try:
        return msgspec.json.decode(_file(home, number).read_bytes(), type=Change)
    except FileNotFoundError:
        raise NotFound(f"there is no change {number} of links", "qcity links log shows which there are") from None
    except msgspec.DecodeError:
        raise NotFound(f"the record of change {number} is damaged ({_file(home, number)})", "Compare the files by hand") from None


def of_commit(home: Home, sha: str) -> Change | None:
    """The newest change that a commit carries and that was not taken back."""
    for number in reversed(numbers(home)):
        with contextlib.suppress(NotFound):
            change = get(home, number)
            if change.sha == sha and change.state == "committed":
                return change
    return None


def planned(home: Home) -> list[Change]:
    """Changes that may be half done, oldest first. Only the newest ones can be: nothing new begins before they are done."""
    found = []
    for number in reversed(numbers(home)):
        with contextlib.suppress(NotFound):
            change = get(home, number)
            if change.state != "planned":
                break
            found.append(change)
    return found[::-1]


def prune(home: Home) -> None:
    """Forget the oldest changes."""
    for number in numbers(home)[:-KEPT]:
        _file(home, number).unlink(missing_ok=True)


def tips(home: Home) -> dict[str, str]:
    """Files that hold what we wrote last: absolute path -> SHA-256."""
    try:
        return msgspec.json.decode((home.links / "tips.json").read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def put_tips(home: Home, found: dict[str, str]) -> None:
    """Remember them."""
    write_atomic(home.links / "tips.json", msgspec.json.encode(found))


def _file(home: Home, number: int) -> Path:
    return home.links / f"{number:06}.json"
