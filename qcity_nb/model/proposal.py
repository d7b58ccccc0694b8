"""Proposals: pull requests of GitHub, merge requests of GitLab. What a client asks about them: `python -m qcity_nb.kinds.forges`."""

from __future__ import annotations

import msgspec

from .link import Report
from .tunnel import Binding


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as its forge lists it; `state` is open, closed or merged."""

    number: int
    url: str
    state: str
    body: str


class ProposalAsk(msgspec.Struct, frozen=True, kw_only=True):
    """Propose a binding's change: `new` in the place of `old` (and of `shared` in marked places); or take back the change `undo` of the journal."""

    home: str
    actor: str
    binding: Binding | None = None
    tunnel: str = ""
    new: str = ""
    old: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    why: str = ""
    undo: int = 0


class ProposalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; or the error, by its class, what and what to do."""

    report: Report | None = None
    error: str = ""
    what: str = ""
    todo: str = ""
