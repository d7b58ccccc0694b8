"""The documented JSON shapes of tunnels; they belong to `schema.json` as all shapes do."""

from __future__ import annotations

from collections.abc import Iterable

from ..decide.wording import sentence
from ..model.tunnel import Issued
from ..store.tunnels import FollowerRow, TunnelRow
from .shapes import Shape, moment
from .tunnels import sentence_of


def tunnel(row: TunnelRow) -> Shape:
    """`qcity tunnel open|test --json`, and one of `qcity tunnel list --json`."""
    view = row.view
    return {
        "name": view.name,
        "state": view.state.value,
        "sentence": sentence(sentence_of(row)),
        "port": view.port,
        "url": view.url,
        "provider": view.provider,
        "generation": view.generation,
        "reach": view.reach.value if view.reach else None,
        "since": moment(view.since),
        "proved": moment(view.proved),
        "latency_s": None if view.latency is None else round(view.latency, 4),
        "until": moment(view.until),
        "binary": view.binary,
        "tried": [
            {"provider": one.provider, "fault": one.fault.value, "text": one.text, "todo": one.todo, "again": moment(one.again)} for one in view.tried
        ],
    }


def tunnels(rows: Iterable[TunnelRow]) -> Shape:
    """`qcity tunnel list --json`."""
    return {"tunnels": [tunnel(row) for row in rows]}


def shown(row: TunnelRow, addresses: Iterable[Issued], followers: Iterable[FollowerRow]) -> Shape:
    """`qcity tunnel show NAME --json`."""
    return {**tunnel(row), "addresses": [_address(one) for one in addresses], "followers": [_follower(one) for one in followers]}


def _address(one: Issued) -> Shape:
    return {"generation": one.generation, "provider": one.provider, "url": one.origin, "since": moment(one.since), "until": moment(one.until)}


def _follower(row: FollowerRow) -> Shape:
    last = row.last
    return {
        "key": row.key,
        "at": moment(row.at),
        "ok": None if last is None else last.ok,
        "text": "" if last is None else last.text,
        "generation": None if last is None else last.generation,
        "changed": None if last is None else last.changed,
    }
