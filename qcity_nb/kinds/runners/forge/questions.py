"""What a person asks the attendant by a command: what stands on this machine, how things are to what was asked for, and two small changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import msgspec

from ....decide import reconcile
from ....decide.reconcile import Asked, Item, Match
from ....errors import BadInput, QCityError
from ....io import secrets
from ....model.agent import Remote
from ....model.home import Home
from ....model.service import ServiceSpec
from ....ports import Forge
from ... import forges
from . import memory as memories
from . import options as told
from .options import Options


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One agent that a plan is to be made for, as a person's configuration or the store has it."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    options: dict[str, object] = {}
    here: bool = False
    up: bool = True


def plan(home: Home, args: Mapping[str, object], *, owned: str) -> dict[str, object]:
    """What the configuration asks against what the platforms say: `items`, each as `decide.reconcile.Item`."""
    wishes = msgspec.convert(args.get("asked") or [], list[Wish])
    asked: list[Asked] = []
    scopes: dict[str, Options] = {}
    wrong: list[Item] = []
    for wish in wishes:
        try:
            options = told.parse(wish.kind, ServiceSpec(name=wish.name, kind=wish.kind, labels=wish.labels, options=wish.options))
        except BadInput as error:
            why = str(error)
            wrong.append(Item(name=wish.name, where=wish.kind, what="runner", match=Match.BLOCKED, wanted="registered", found="unknown", why=why))
            continue
        memory = memories.load(home, wish.name)
        where = f"{options.scope} of {options.url}"
        scopes[where] = options
        asked.append(
            Asked(
                name=wish.name,
                where=where,
                labels=options.labels,
                ephemeral=options.ephemeral,
                here=wish.here,
                up=wish.up,
                remote_id=memory.id,
                remote_name=memory.name,
            )
        )
    listed: dict[str, list[Remote]] = {}
    blocked: dict[str, str] = {}
    for where, options in scopes.items():
        try:
            listed[where] = _with_labels(_connect(home, options), [one for one in asked if one.where == where])
        except QCityError as error:
            blocked[where] = str(error)
    items = [*wrong, *reconcile.plan(asked, listed, blocked, owned=owned)]
    keys = ("forge", "scope", "kind_of_scope", "url", "token")
    known = {where: {key: getattr(options, key) for key in keys} for where, options in scopes.items()}
    return {"items": [{**asdict(item), "match": item.match.value} for item in items], "scopes": known}


def delete(home: Home, args: Mapping[str, object]) -> dict[str, object]:
    """Delete a registration of ours that nobody uses. Raises `QCityError`."""
    options = msgspec.convert({key: value for key, value in args.items() if key != "id"}, Options)
    forge = _connect(home, options)
    id_ = int(str(args["id"]))
    found = forge.runner(id_)
    if found is not None and (found.online or found.busy):
        raise BadInput(f"registration {id_} is alive", "Nothing was deleted")
    forge.remove(id_)
    return {"deleted": id_}


def labels(home: Home, name: str, options: Options, args: Mapping[str, object], *, owned: str) -> dict[str, object]:
    """Give an agent other labels on its platform. Raises `QCityError`."""
    memory = memories.load(home, name)
    if memory.id is None:
        raise BadInput(f"{name} is not registered now", "Its labels are those it is started with")
    wanted = [str(label) for label in msgspec.convert(args.get("labels") or [], list[str])]
    _connect(home, options).set_labels(memory.id, [*wanted, owned])
    return {"labels": wanted}


def _connect(home: Home, options: Options) -> Forge:
    return forges.connect(options.wanted("", ()), secrets.load(home, options.token))


def _with_labels(forge: Forge, asked: Iterable[Asked]) -> list[Remote]:
    """The list; of our own runners with what a list may leave out (GitLab's has no tags)."""
    mine = {one.remote_id for one in asked}
    return [(forge.runner(one.id) or one) if one.id in mine and not one.labels else one for one in forge.runners()]


def answer(ask: Callable[[], dict[str, object]]) -> tuple[dict[str, object], str, str]:
    """The answer, or what was wrong and what to do about it."""
    try:
        return ask(), "", ""
    except QCityError as error:
        return {}, error.what, error.todo
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        return {}, f"what was asked cannot be understood ({error})", "This is our fault; please report it"
