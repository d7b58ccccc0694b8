"""Pull and merge requests of links, for a person who asks: done in a process of its own, because a client knows no forges."""

from __future__ import annotations

from ..decide import proposals as decide
from ..decide.links import Rewriter
from ..errors import PlatformError, QCityError
from ..io import branches, remotes, rewrite, secrets
from ..model.home import Home
from ..model.link import Report
from ..model.proposal import ProposalAnswer, ProposalAsk
from ..model.tunnel import Binding
from . import credentials, questions
from .link import Link

SECONDS = 300.0


def provide(link: Link, binding: Binding, tunnel: str) -> None:
    """See to it that the token for the forge of a binding is there.

    Raises:
        QCityError: there is no remote, it is no forge's, or there is no token for it.
    """
    root = rewrite.root_of(binding)
    remote = remotes.of(root, branches.resolved(binding.commit, tunnel, root).partition(":")[2])
    home, named = link.store.home, remotes.setting(remote.top, "qcity.forge")
    where = decide.where(remote.url, named=named, kept=lambda name: secrets.has(home, name))
    credentials.provide(link, where.forge, where.url)


def propose(home: Home, binding: Binding, rewriter: Rewriter, *, why: str, actor: str) -> Report:
    """Push a binding's change and open or update its proposal. Raises `QCityError`; asked again, it goes on."""
    aim = rewriter.aim
    return _ask(
        ProposalAsk(
            home=str(home.root), binding=binding, tunnel=aim.tunnel, new=aim.new, old=aim.old, shared=aim.shared, why=why, actor=actor
        )
    )


def withdraw(home: Home, number: int, *, actor: str) -> Report:
    """Close the proposal of a change and take its branch away. Raises `QCityError`; then nothing was touched."""
    return _ask(ProposalAsk(home=str(home.root), undo=number, actor=actor))


def _ask(ask: ProposalAsk) -> Report:
    again, slow = "Try again: it goes on from there", f"the repository's remote and its forge have not done it within {SECONDS:.0f} s"
    answer = questions.put(
        "forges",
        ask,
        ProposalAnswer,
        seconds=SECONDS,
        late=PlatformError(slow, again, kind="unreachable"),
        failed=lambda said: PlatformError(f"the links could not be proposed ({said})", again, kind="server"),
        other=QCityError,
    )
    assert answer.report is not None
    return answer.report
