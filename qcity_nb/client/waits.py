"""Waiting for a runner that was asked to start or to stop; what keeps it from that is said."""

from __future__ import annotations

from typing import Protocol

from ..errors import EngineError, QCityError, Refused
from ..model.service import Desired, Phase
from ..store import fleets
from ..store.services import ServiceRow
from .link import Link

STEADY_SECONDS = 0.5
"""How long a runner that says nothing about itself has to live before it counts as up: one that fails at once has printed its reason by then."""


class Waited(Protocol):
    """What is needed of a runner."""

    name: str

    @property
    def row(self) -> ServiceRow:
        """What the store knows."""

    def logs(self, lines: int = 40) -> str:
        """The last lines of its log."""


def until_up(link: Link, runner: Waited, *, seconds: float) -> None:
    """Wait until it is up, or until another place holds its claim.

    Raises:
        Refused: it does not come up; the sentence says why.
        EngineError: it is still being tried.
    """
    name, steady, since_passed = runner.name, 0, 0.0
    for passed in link.until(seconds):
        row = runner.row
        if row.state.phase is Phase.RUNNING:
            if row.state.incarnation != steady:
                steady, since_passed = row.state.incarnation, passed
            if row.sandbox or passed - since_passed >= STEADY_SECONDS:
                return
            continue
        if row.state.standby and row.state.phase is Phase.STOPPED and _held_elsewhere(link, row.spec.claim):
            return
        if row.state.phase in (Phase.BACKOFF, Phase.QUARANTINED):
            raise _not_up(runner, row)
        if row.state.phase is Phase.STOPPED and row.state.desired is not Desired.UP:
            raise Refused(f"{name} was stopped by somebody else while it started", f"qcity runner start {name}")
    todo = f"It is still being tried; qcity runner logs {name} shows what it says"
    row = runner.row
    trouble = "; ".join(text for text in (*row.trouble.values(), row.state.reason if row.state.standby else "") if text)
    raise EngineError(f"{name} has not come up in {seconds:.0f} s" + (f": {trouble}" if trouble else ""), todo, permanent=False)


def until_down(link: Link, runner: Waited, *, seconds: float, insist: bool) -> None:
    """Wait until it is down.

    Args:
        insist: whether it is an error when it is not in time.

    Raises:
        EngineError: it is not.
    """
    for _ in link.until(seconds):
        if runner.row.state.phase is Phase.STOPPED:
            return
    if insist:
        todo = f"It stays asked; qcity runner show {runner.name} says where it stands"
        raise EngineError(f"{runner.name} has not stopped in {seconds:.0f} s", todo, permanent=False)


def _held_elsewhere(link: Link, claim: str) -> bool:
    with link.read() as connection:
        claims = fleets.claims_of(connection, link.place)
    return any(view.claim == claim and view.state == "held" and not view.mine for view in claims)


def _not_up(runner: Waited, row: ServiceRow) -> QCityError:
    last = [text for text in runner.logs(20).splitlines() if text.strip()]
    said = f'; the last it said was "{last[-1].strip()}"' if last and last[-1].strip() not in row.state.reason else ""
    again = "It is tried again with growing delays" if row.state.phase is Phase.BACKOFF else "It is quarantined"
    return Refused(f"{row.name} does not come up: {row.state.reason.rstrip('.')}{said}", f"{again}; qcity runner logs {row.name} shows all of it")
