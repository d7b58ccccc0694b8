"""What a plan says of runners and registrations on several platforms and scopes."""

from __future__ import annotations

import pytest

from qcity_nb.decide.reconcile import Asked, Item, Match, plan
from qcity_nb.model.agent import Remote

OWNED = "qcity-12345678"
A, AB = "octo/a of https://github.com", "octo/ab of https://github.com"


def remote(id_: int, name: str = "gh-1", *, online: bool = True, busy: bool = False, labels: tuple[str, ...] = (OWNED,)) -> Remote:
    return Remote(id=id_, name=name, online=online, busy=busy, labels=labels)


def asked(where: str = A, **more: object) -> Asked:
    return Asked(**{"name": "gh-1", "where": where, "here": True, "remote_id": 7, "remote_name": "gh-1", **more})  # type: ignore[arg-type]


def only(items: list[Item], what: str) -> Item:
    (found,) = [item for item in items if item.what == what]
    return found


@pytest.mark.parametrize(("online", "busy", "match", "act"), [(False, False, Match.DRIFT, "delete"), (True, False, Match.BLOCKED, "")])
def test_a_registration_that_nobody_asks_for_is_deleted_where_it_is_and_only_when_idle(online: bool, busy: bool, match: Match, act: str) -> None:
    """The same number in another scope is another runner, and a scope's name may begin another one's."""
    there = {A: [remote(7)], AB: [remote(8), remote(7, "old", online=online, busy=busy)]}
    items = plan([asked(), asked(AB, name="gh-2", remote_id=8)], there, {}, owned=OWNED)
    stray = only(items, "registration")
    assert (stray.name, stray.where, stray.value, stray.match, stray.act) == ("old", AB, "7", match, act)


def test_a_registration_of_somebody_else_is_nobodys_business() -> None:
    assert plan([asked()], {A: [remote(7), remote(9, "theirs", online=False, labels=("gpu",))]}, {}, owned=OWNED)[-1].what == "labels"


@pytest.mark.parametrize(
    ("one", "there", "blocked", "expected"),
    [
        (asked(), [remote(7)], {}, (Match.OK, "online", "")),
        (asked(), [remote(7, busy=True)], {}, (Match.OK, "busy", "")),
        (asked(), [remote(7, online=False)], {}, (Match.DRIFT, "offline", "")),
        (asked(), [], {}, (Match.DRIFT, "not registered", "start")),
        (asked(here=False), [], {}, (Match.DRIFT, "not registered", "start")),
        (asked(up=False), [], {}, (Match.OK, "not registered", "")),
        (asked(up=False), [remote(7)], {}, (Match.DRIFT, "still registered", "delete")),
        (asked(), [], {A: "the token was refused"}, (Match.BLOCKED, "unknown", "")),
        (asked(ephemeral=False, remote_id=None, remote_name=""), [remote(3, labels=())], {}, (Match.BLOCKED, "registered", "")),
    ],
)
def test_how_a_runner_stands(one: Asked, there: list[Remote], blocked: dict[str, str], expected: tuple[Match, str, str]) -> None:
    found = only(plan([one], {} if blocked else {A: there}, blocked, owned=OWNED), "runner")
    assert (found.match, found.found, found.act, found.where) == (*expected, A)


def test_labels_are_compared_without_case_and_without_those_that_are_given() -> None:
    there = [remote(7, labels=("self-hosted", "Linux", "GPU", "old", OWNED))]
    found = only(plan([asked(labels=("gpu", "big"))], {A: there}, {}, owned=OWNED), "labels")
    assert (found.match, found.why, found.act, found.value) == (Match.DRIFT, "1 label missing; 1 label too many: old", "labels", f"gpu,big,{OWNED}")
