"""Changes of links as pull and merge requests: looked up, committed, pushed, opened or brought up to date; safe to repeat from any point.

What a person closed stays closed until the next address, what a person committed on our branch is never pushed over, and nothing is written before
the remote and the forge have been looked at. Blocking.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from ...decide import proposals as decide
from ...decide.links import Rewriter
from ...decide.proposals import WORDS
from ...decide.redact import redact
from ...errors import NotFound, PlatformError, Refused
from ...io import branches, journal, remotes, rewrite, secrets
from ...io.remotes import Remote, Seen
from ...model.agent import TOKENS, Wanted
from ...model.home import Home
from ...model.link import Change, Report
from ...model.proposal import Proposal
from ...model.tunnel import Binding
from ...ports import Proposing
from . import connect


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """All that a branch of one repository needs: its remote, its forge, and what was found at both."""

    branch: str
    word: str
    forge: Proposing
    remote: Remote
    seen: Seen
    found: Sequence[Proposal]


def propose(home: Home, binding: Binding, rewriter: Rewriter, *, why: str, actor: str) -> Report:
    """Propose the change that makes a binding's links right on the remote's own branch, if one is needed.

    Returns:
        `said` is what was done, `files` is empty when the branch carried the change already. See `decide.proposals.told`.

    Raises:
        QCityError: it could not be looked at, pushed or opened; asked again, it goes on from there.
    """
    began, aim, root = time.monotonic(), rewriter.aim, rewrite.root_of(binding)
    desk = _desk(home, root, branches.resolved(binding.commit, aim.tunnel, root).partition(":")[2])
    no = decide.declined(desk.found, tunnel=aim.tunnel, new=aim.new)
    if no is not None:
        return Report(files=(), remarks=(), proposal=no.url)
    other = journal.of_commit(home, desk.seen.tip) if desk.seen.tip else None
    if other is not None and (other.root, other.tunnel) != (root, aim.tunnel):
        what = f"the branch {desk.branch} carries the links of {other.tunnel} below {other.root}"
        raise Refused(what, "Bind these with a branch of their own: pull:BRANCH", permanent=False)
    report = rewrite.sync(home, binding, rewriter, tunnel=aim.tunnel, new=aim.new, why=redact(why), actor=actor, base=desk.seen.at)
    if not report.number:
        gone = _close(desk, decide.current(desk.found), f"{desk.seen.base} says {aim.new} already")
        said = f"the {desk.word} {gone.url} was closed: {desk.seen.base} is right already" if gone else ""
        return msgspec.structs.replace(report, proposal=gone.url if gone else "", said=said)
    if desk.seen.tip != report.sha:
        remotes.push(desk.remote, desk.branch, report.sha, seen=desk.seen)
    change = journal.get(home, report.number)
    proposal, done = _open(desk, change)
    if change.proposal != proposal.url:
        with journal.locked(home):
            journal.put(home, msgspec.structs.replace(change, proposal=proposal.url), durable=True)
    said = f"the {desk.word} {proposal.url} {done}" if done else ""
    return msgspec.structs.replace(report, proposal=proposal.url, said=said, took=time.monotonic() - began)


def withdraw(home: Home, number: int, *, actor: str) -> Report:
    """Take back a change that was proposed: its proposal is closed, its branch goes.

    Raises:
        NotFound: there is no such change.
        Refused: it was taken back, merged or followed by another one; then nothing was touched.
    """
    change = journal.get(home, number)
    if change.state != "committed":
        raise Refused(f"change {number} is {change.state}", "Nothing was touched")
    branches.on_tip(change)
    desk = _desk(home, change.root, change.commit.partition(":")[2])
    carrier = decide.may_withdraw(desk.found, change)
    if desk.seen.tip not in ("", change.sha):
        raise Refused(f"the branch {desk.branch} has gone on since change {number}", "Nothing was touched; close its request by hand")
    gone = _close(desk, carrier, f"change {number} was taken back by {actor}", say=decide.body(change))
    report = rewrite.rollback(home, number, actor=actor)
    return msgspec.structs.replace(report, proposal=gone.url if gone else "", said=f"the {desk.word} {gone.url} was closed" if gone else "")


def _desk(home: Home, root: str, branch: str) -> _Desk:
    remote = remotes.of(root, branch)
    at = decide.where(remote.url, named=remotes.setting(remote.top, "qcity.forge"), kept=lambda name: secrets.has(home, name))
    try:
        token = secrets.load(home, at.credential)
    except NotFound:
        todo = f"Put it into the environment as {TOKENS[at.forge][0]}, or into Colab's secrets or the keyring, and bind the files again"
        raise NotFound(f"there is no token for {at.host}, so nothing can be proposed", todo) from None
    remote = remote.with_token(at.forge, at.host, token)
    forge = cast(Proposing, connect(Wanted(forge=at.forge, url=at.url, scope=at.scope, name=branch), token))
    return _Desk(
        branch=branch, word=WORDS[at.forge], forge=forge, remote=remote, found=forge.proposals(branch), seen=remotes.look(remote, branch)
    )


def _open(desk: _Desk, change: Change) -> tuple[Proposal, str]:
    """The proposal that carries a change, and what was done with it (empty: nothing had to be)."""
    there = decide.current(desk.found)
    if there is None:
        try:
            return desk.forge.propose(desk.branch, desk.seen.base, decide.title(change), decide.body(change)), "was opened"
        except PlatformError as error:
            there = decide.current(desk.forge.proposals(desk.branch)) if error.kind == "conflict" else None
            if there is None:
                raise
    if decide.says(there, change):
        return there, ""
    return desk.forge.amend(there.number, decide.title(change), decide.body(change)), "was brought up to date"


def _close(desk: _Desk, proposal: Proposal | None, why: str, *, say: str = "") -> Proposal | None:
    """Close a proposal with a word, and take our branch away; `say` stays below the word."""
    if proposal is not None:
        desk.forge.amend(proposal.number, "", f"{decide.closing(why)}\n\n{say}".strip(), close=True)
    if desk.seen.tip:
        remotes.push(desk.remote, desk.branch, "", seen=desk.seen)
    return proposal
