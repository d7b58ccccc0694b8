"""Proposals of links: which forge a remote is at, what a pull or merge request says, and what is to be done about those that there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import BadInput, Refused
from ..model.agent import FORGES, credential
from ..model.link import Change, Report
from ..model.proposal import Proposal
from .redact import redact
from .wording import count, line

SHOWN = 40
"""Files that a proposal names."""
WORDS = {"github": "pull request", "gitlab": "merge request"}
PROMISE = """Only exact addresses that were issued to it are replaced; no other byte of these files changes. An address of a tunnel is written down \
only after a random nonce came back through it. Closed without being merged, this is not opened again before the next address."""
DOORS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
"""Hosts that take SSH where only port 443 is open."""
_FORMS = (
    r"(?P<scheme>https?)://(?:[^/@]*@)?(?P<host>[^/]+)/(?P<scope>.+)",
    r"ssh://(?:[^/@]*@)?(?P<host>[^/:]+)(?::\d+)?/(?P<scope>.+)",
    r"(?:[^/@:]*@)?(?P<host>[^/@:]+):(?P<scope>[^/].*)",
)


@dataclass(frozen=True, kw_only=True)
class Where:
    """A repository at a forge: the forge's kind, its web address (empty: the public one), and owner/name or the project's path."""

    forge: str
    url: str
    scope: str

    @property
    def host(self) -> str:
        """Its host, with the port where one is given."""
        return (self.url or FORGES[self.forge]).partition("://")[2]

    @property
    def credential(self) -> str:
        """The name of its token."""
        return credential(self.forge, self.url)


def where(remote: str, *, named: str = "", kept: Callable[[str], bool]) -> Where:
    """The forge that a remote's address leads to.

    Args:
        remote: as git takes it.
        named: the kind that the repository's own settings name.
        kept: whether there is a token of a name here: a host whose name says nothing is known by its token.

    Raises:
        BadInput: it leads to no forge, or nobody says which kind it is.
    """
    found = next((match for form in _FORMS if (match := re.fullmatch(form, remote))), None)
    if found is None:
        shown = re.sub(r"://[^/@]*@", "://", remote)
        raise BadInput(f"{shown} is no address of a forge, so nothing can be proposed there", "Take branch:NAME, or a remote at GitHub or GitLab")
    host = DOORS.get(found["host"].lower(), found["host"].lower())
    scope = re.sub(r"(\.git)?/*$", "", found["scope"])
    url = f"{found.groupdict().get('scheme') or 'https'}://{host}"
    forge = named or next((forge for forge in FORGES if forge in host), "") or next((one for one in FORGES if kept(credential(one, url))), "")
    if forge not in FORGES:
        todo = "git config qcity.forge github (or gitlab) in that repository says it"
        raise BadInput(f"nobody says what kind of forge {host} is" if not forge else f'there is no forge "{forge}"', todo)
    return Where(forge=forge, url="" if url == FORGES[forge] else url, scope=scope)


def title(change: Change) -> str:
    """What a proposal is called."""
    return line(f"Links of {change.tunnel}: {change.new}" if change.tunnel else f"Links: {change.new}", limit=200)


def body(change: Change) -> str:
    """What a proposal says: what, why, from where to where, which files; with the mark by which it is known again."""
    old = sorted({edit.old for one in change.files for edit in one.edits})
    rows = [("old", ", ".join(f"`{one}`" for one in old)), ("new", f"`{change.new}`"), ("why", f"`{_plain(change.why or 'asked by hand')}`")]
    rows += [("by", f"`{_plain(change.actor)}`, {change.at:%Y-%m-%d %H:%M:%S} UTC, change {change.number} of its journal")]
    files = [f"- `{_plain(one.path)}`: {count(len(one.edits), 'link')}, SHA-256 `{one.before[:12]}`, now `{one.after[:12]}`" for one in change.files]
    more = [f"- and {len(files) - SHOWN} more"] if len(files) > SHOWN else []
    of = f"The tunnel `{change.tunnel}` has another address" if change.tunnel else "An address is another one"
    words = [
        f"{of}: {count(change.links, 'link')} in {count(len(change.files), 'file')} would lead to the old one.",
        "\n".join(("| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows))),
        "\n".join((*files[:SHOWN], *more)),
        PROMISE,
        _mark(change.tunnel, change.new, change.sha),
    ]
    return redact("\n\n".join(words))


def closing(why: str) -> str:
    """What a proposal says that we close; without a mark, so that the same may be proposed again."""
    return redact(f"Closed by qcity: {line(why)}.")


def declined(found: Sequence[Proposal], *, tunnel: str, new: str) -> Proposal | None:
    """The newest proposal, if it says this address and a person has closed it: that is a no until the next one."""
    newest = found[0] if found else None
    return newest if newest and newest.state == "closed" and _mark(tunnel, new) in newest.body else None


def current(found: Sequence[Proposal]) -> Proposal | None:
    """The one that is open."""
    return next((one for one in found if one.state == "open"), None)


def says(proposal: Proposal, change: Change) -> bool:
    """Whether a proposal speaks of this very commit; what people wrote into it besides is theirs."""
    return _mark(change.tunnel, change.new, change.sha) in proposal.body


def told(report: Report) -> str:
    """How a change stands with its proposal, as part of a sentence; empty when there is none."""
    if report.said or not report.proposal:
        return report.said
    return f"{report.proposal} says it already" if report.number else f"{report.proposal} was closed, so this address is not proposed again"


def may_withdraw(found: Sequence[Proposal], change: Change) -> Proposal | None:
    """The proposal to close when a change is taken back; None when there is none open. Raises `Refused` when it was merged."""
    carrier = next((one for one in found if one.url == change.proposal), None)
    if carrier is not None and carrier.state == "merged":
        raise Refused(f"change {change.number} was merged ({carrier.url})", "Nothing was touched; revert it there")
    return current(found)


def _mark(tunnel: str, new: str, sha: str = "") -> str:
    return f"<!-- qcity links {tunnel or '-'} {new} " + (f"{sha} -->" if sha else "")


def _plain(text: str) -> str:
    return line(text).replace("`", "'").replace("|", "/")
