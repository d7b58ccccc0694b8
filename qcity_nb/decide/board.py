"""What a board shows of facts: an hour in slots, whether a runner flaps, what changed between two looks, and whether anybody can be looking. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .health import Level

SLOTS, SLOT_SECONDS = 60, 60
NONE, DOWN, PARTLY, UP = range(4)
"""What a slot says: nobody watched; no beat found it up; some did; all did. Rising, because a bar's height says it too."""
WINDOW, LOW, HIGH = 21, 20.0, 30.0
"""Flapping as Nagios and Naemon count it: the share of changes among the last 21 states, the newest weighing half as much again as the oldest;
it begins at 30 % and ends below 20 %, so that the badge itself does not flap."""
FEWEST = 5
"""With fewer changes no window comes to 30 %."""
_WEIGHTS = [0.8 + 0.4 * number / (WINDOW - 2) for number in range(WINDOW - 1)]
_WHOLE = sum(_WEIGHTS)
OFF = ("", "0", "false", "no")
BATCH = ("papermill", "nbclient", "nbconvert", "jupyter-execute", "jupyter-run", "nbval", "--nbval", "qcity_nb.kinds.notebooks")
"""Words in the command of a kernel's parent that say that nobody looks, whatever the environment says: it is inherited."""
Record = Mapping[str, Any]
Table = Mapping[str, Record]


def slot(beats: int, up: int) -> int:
    """What so many beats say of their slot."""
    if not beats:
        return NONE
    return UP if up == beats else PARTLY if up else DOWN


def hour(sums: Iterable[tuple[int, int, int]], *, last: int) -> bytes:
    """The last sixty slots, oldest first.

    Args:
        sums: begin of a slot in seconds since 1970, beats in it, and how many found the runner up.
        last: the begin of the newest slot.
    """
    slots = bytearray(SLOTS)
    for begin, beats, up in sums:
        number = SLOTS - 1 - (last - begin) // SLOT_SECONDS
        if 0 <= number < SLOTS:
            slots[number] = slot(beats, up)
    return bytes(slots)


@lru_cache(maxsize=4096)
def flapping(slots: bytes) -> tuple[float, bool]:
    """How much its state changes, in percent, and whether that is flapping; slots in which nobody watched say nothing.

    The thresholds are gone through from the first full window on, so nothing has to be remembered between two looks.
    """
    states = [one for one in slots if one != NONE]
    moved = [number for number, (one, other) in enumerate(pairwise(states), 1) if one != other]
    if len(moved) < FEWEST:
        return 0.0, False
    share, flaps = 0.0, False
    for begin in range(len(states) - WINDOW + 1):
        share = sum(_WEIGHTS[number - begin - 1] for number in moved if begin < number < begin + WINDOW) / _WHOLE * 100
        flaps = share >= HIGH or (flaps and share >= LOW)
    return share, flaps


def rank(level: Level, *, flaps: bool = False, busy: bool = False) -> int:
    """Where a row stands: what needs somebody first, then what flaps, what works, what is well, what is off."""
    if level in (Level.BAD, Level.STALE, Level.REPAIRING, Level.WARN):
        return level.rank
    return 4 if flaps else 5 if busy else 6 if level is Level.WELL else 7


def changes(old: Mapping[str, Table], new: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """What to say to somebody who knows the old tables, so that he knows the new ones.

    For each table that changed, `set` holds pairs of a row's key and those of its fields that are other, and `gone` the keys of rows that went.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, table in new.items():
        before = old.get(name, {})
        put = [(key, part) for key, row in table.items() if (part := _fields(before.get(key), row))]
        gone = [key for key in before if key not in table]
        if put or gone:
            told[name] = {"set": put, "gone": gone}
    return told


def watched(env: Mapping[str, str], parent: Sequence[str], *, colab: bool = False) -> bool:
    """Whether a front end that shows widgets can be there.

    Args:
        env: the kernel's environment.
        parent: the command line of the process that started the kernel.
        colab: whether it is Colab's own kernel.
    """
    if env.get("QCITY_NB_HEADLESS", "").lower() not in OFF:
        return False
    if any(word in part for part in parent for word in BATCH):
        return False
    return colab or any(env.get(name) for name in ("JPY_SESSION_NAME", "VSCODE_PID")) or replays(env)


def replays(env: Mapping[str, str]) -> bool:
    """Whether the page is made when all cells have run, as Voila does: widgets live there, and what else was shown stays as it was."""
    return env.get("SERVER_SOFTWARE", "").startswith("voila/")


def _fields(old: Record | None, new: Record) -> dict[str, Any]:
    if old is None:
        return dict(new)
    return {name: value for name, value in new.items() if name not in old or old[name] != value}
