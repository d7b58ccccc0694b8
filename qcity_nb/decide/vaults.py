"""Which copy of a store is the newest, who may put the next one, which go, and what it means when none can be put. Pure.

A copy's name says its number, so that a vault needs no register. Whoever puts one has to know the newest that is there: it put that one itself, or
restored it. A home that was left behind is refused for that reason alone, whatever its clock says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from ..model.vault import Copy, VaultConfig, VaultState
from .health import Condition, Level
from .wording import line, sentence, since

STAMP = "%Y%m%dT%H%M%SZ"
PATTERN = re.compile(r"qcity-(\d{8})-(\d{8})-(\d{8}T\d{6}Z)-[0-9a-f]{8}\.vault")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
REMEMBERED = 10
"""So many of its own copies a home remembers: one whose put was cut off may be there all the same."""
LATE = 5
"""A vault is too old after so many of its intervals without a copy."""
LEAST = timedelta(minutes=5)


def copies(names: Iterable[str]) -> list[Copy]:
    """The copies among a vault's names, oldest first; what is not ours is not seen."""
    found = []
    for name in names:
        if match := PATTERN.fullmatch(name):
            at = datetime.strptime(match[3], STAMP).replace(tzinfo=timezone.utc)
            found.append(Copy(generation=int(match[1]), counter=int(match[2]), at=at, name=name))
    return sorted(found)


def following(known: Sequence[Copy], *, generation: int, at: datetime, mark: str) -> Copy:
    """The copy that comes after those that are there.

    Args:
        generation: of the home's engine.
        mark: eight hexadecimal digits that nobody else chooses.
    """
    last = known[-1] if known else None
    counter = last.counter + 1 if last is not None and last.generation >= generation else 1
    generation = max(generation, last.generation if last is not None else 0)
    name = f"qcity-{generation:08d}-{counter:08d}-{at.strftime(STAMP)}-{mark}.vault"
    return Copy(generation=generation, counter=counter, at=at, name=name)


def ahead(known: Sequence[Copy], state: VaultState) -> Copy | None:
    """The newest copy when it is not of this home: another one has gone on, or was there first."""
    return known[-1] if known and known[-1].name not in state.mine else None


def surplus(known: Sequence[Copy], keep: int) -> tuple[str, ...]:
    """The names of those that go when one more comes."""
    return tuple(copy.name for copy in known[: max(0, len(known) + 1 - keep)])


def condition(vaults: Mapping[str, tuple[VaultConfig, VaultState]], now: datetime, *, alive: bool) -> Condition | None:
    """How all vaults are, in one sentence; None when there is none.

    Args:
        alive: whether an engine runs, which is who puts copies there.
    """
    if not vaults:
        return None
    for name, (_, state) in vaults.items():
        if state.superseded:
            text = f"Another machine has gone on from the vault {line(name)}; this one saves no more: {sentence(state.error)}"
            return Condition(level=Level.BAD, text=text, todo=state.todo)
    for name, (config, state) in vaults.items():
        if state.error and (state.failing is None or now - state.failing >= tolerated(config)):
            text = f"The vault {line(name)} cannot be written: {sentence(state.error)} The last copy is {_age(state, now)}."
            return Condition(level=Level.BAD, text=text, todo=state.todo)
        if alive and late(config, state, now):
            text = f"The vault {line(name)} is too old: its last copy is {_age(state, now)}."
            return Condition(level=Level.WARN, text=text, todo=f"qcity vault save {name} says why")
        if state.error:
            return Condition(level=Level.WARN, text=f"The vault {line(name)} could not be written just now: {sentence(state.error)}", todo=state.todo)
    newest = max((state for _, state in vaults.values()), key=lambda state: state.saved.timestamp() if state.saved else 0.0)
    return Condition(level=Level.WELL, text=f"Saved {since(newest.saved, now)}.")


def tolerated(config: VaultConfig) -> timedelta:
    """For how long a vault may fail, or hold nothing new, before a person is told."""
    return max(LATE * config.every, LEAST)


def late(config: VaultConfig, state: VaultState, now: datetime) -> bool:
    """Whether the last copy is too old; a change is put within an interval, and every ten of them one comes anyway."""
    return state.saved is not None and now - state.saved > tolerated(config) + RESTFUL * config.every


RESTFUL = 10
"""Without anything that is worth telling a copy is still put after so many intervals: signs of life are history too."""


def due(config: VaultConfig, state: VaultState, now: datetime, *, changed: bool) -> bool:
    """Whether a copy is to be put now.

    Args:
        changed: whether anything but signs of life was written since the last one.
    """
    last = max((one for one in (state.saved, state.tried) if one is not None), default=None)
    if state.superseded:
        return False
    return last is None or now - last >= (config.every if changed or state.error else RESTFUL * config.every)


def _age(state: VaultState, now: datetime) -> str:
    return since(state.saved, now) if state.saved else "none: there was never one"
