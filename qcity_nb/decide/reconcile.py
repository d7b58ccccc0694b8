"""What the configuration asks against what platforms say: one line for each thing, OK, DRIFT or BLOCKED, and what would be done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..model.agent import Remote
from .wording import count

GIVEN = frozenset({"self-hosted", "linux", "macos", "windows", "x64", "x86", "arm", "arm64"})
"""Labels that GitHub gives by itself and nobody can take."""


class Match(Enum):
    """How something stands to what was asked for."""

    OK = "OK"
    DRIFT = "DRIFT"
    BLOCKED = "BLOCKED"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An agent that the configuration (or the store) asks for, and on which platform and scope (`where`).

    `here` says whether it is one of our services, `up` whether it should be running.
    """

    name: str
    where: str
    labels: tuple[str, ...] = ()
    ephemeral: bool = True
    here: bool = False
    up: bool = True
    remote_id: int | None = None
    remote_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A line of a plan. `act` is what `apply` would do there (`where`): start, labels, delete, or nothing; `value` goes with it."""

    name: str
    where: str
    what: str
    match: Match
    wanted: str
    found: str
    act: str = ""
    value: str = ""
    why: str = ""


def plan(asked: Sequence[Asked], listed: Mapping[str, Sequence[Remote]], blocked: Mapping[str, str], *, owned: str) -> list[Item]:
    """The plan.

    Args:
        asked: what should be there.
        listed: the runners of each platform and scope that could be asked.
        blocked: why one could not be.
        owned: the label that our registrations carry.
    """
    items: list[Item] = []
    for one in asked:
        if one.where in blocked:
            items.append(_item(one, Match.BLOCKED, wanted="registered", found="unknown", why=blocked[one.where]))
            continue
        items += _runner(one, listed.get(one.where, ()), owned)
    for where, runners in listed.items():
        used = {one.remote_id for one in asked if one.where == where}
        items += [_stray(remote, where) for remote in runners if owned in remote.labels and remote.id not in used]
    return items


def _item(one: Asked, match: Match, *, wanted: str, found: str, act: str = "", value: str = "", why: str = "") -> Item:
    return Item(name=one.name, where=one.where, what="runner", match=match, wanted=wanted, found=found, act=act, value=value, why=why)


def _runner(one: Asked, runners: Sequence[Remote], owned: str) -> list[Item]:
    remote = next((found for found in runners if found.id == one.remote_id), None) or next(
        (found for found in runners if one.remote_name and found.name == one.remote_name), None
    )
    same_name = next((found for found in runners if found.name == one.name and owned not in found.labels), None)
    if remote is None and same_name is not None and not one.ephemeral:
        why = f'"{one.name}" is registered by somebody else (id {same_name.id})'
        return [_item(one, Match.BLOCKED, wanted="registered by us", found="registered", why=why)]
    if remote is None or not one.here:
        if not one.up and one.here:
            return [_item(one, Match.OK, wanted="stopped", found="not registered")]
        return [_item(one, Match.DRIFT, wanted="online", found="not registered", act="start")]
    if not one.up:
        found = "registered" if remote.busy else "still registered"
        return [_item(one, Match.DRIFT, wanted="stopped", found=found, act="delete", value=str(remote.id))]
    how = "busy" if remote.busy else "online" if remote.online else "offline"
    match, why = (Match.OK, "") if remote.online else (Match.DRIFT, "it is watched; its attendant repairs it")
    return [_item(one, match, wanted="online", found=how, why=why), _labels(one, remote, owned)]


def _labels(one: Asked, remote: Remote, owned: str) -> Item:
    want, have = {label.lower() for label in one.labels}, {label.lower() for label in remote.labels}
    missing, more = sorted(want - have), sorted(have - want - GIVEN - {owned.lower()})
    match = Match.OK if not missing and not more else Match.DRIFT
    told = [f"{count(len(missing), 'label')} missing"] if missing else []
    told += [f"{count(len(more), 'label')} too many: {', '.join(more)}"] if more else []
    return Item(
        name=one.name,
        where=one.where,
        what="labels",
        match=match,
        wanted=", ".join(one.labels),
        found=", ".join(label for label in remote.labels if label != owned),
        act="" if match is Match.OK else "labels",
        value=",".join((*one.labels, owned)),
        why="; ".join(told),
    )


def _stray(remote: Remote, where: str) -> Item:
    """A registration of ours that nobody asks for: deleted only when it is offline and idle."""
    idle = not remote.online and not remote.busy
    return Item(
        name=remote.name,
        where=where,
        what="registration",
        match=Match.DRIFT if idle else Match.BLOCKED,
        wanted="none",
        found=f"id {remote.id} at {where}",
        act="delete" if idle else "",
        value=str(remote.id),
        why="nobody here uses it" if idle else "nobody here uses it, but it is alive: another place may",
    )
