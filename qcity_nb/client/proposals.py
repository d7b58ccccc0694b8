"""Pull and merge requests of links, for a person who asks: done in a process of its own, because a client knows no forges."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from .. import errors
from ..decide import proposals as decide
from ..decide.links import Rewriter
from ..decide.wording import line
from ..errors import PlatformError, QCityError
from ..io import branches, remotes, rewrite, secrets
from ..model.home import Home
from ..model.link import Report
from ..model.proposal import ProposalAnswer, ProposalAsk
from ..model.tunnel import Binding
from . import credentials
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
    command = [sys.executable, "-m", "qcity_nb.kinds.forges"]
    try:
        done = subprocess.run(command, input=msgspec.json.encode(ask), capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        what = f"the repository's remote and its forge have not done it within {SECONDS:.0f} s"
        raise PlatformError(what, "Try again: it goes on from there", kind="unreachable") from None
    try:
        answer = msgspec.json.decode(done.stdout, type=ProposalAnswer)
    except msgspec.DecodeError:
        said = line(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]) or f"exit code {done.returncode}"
        raise PlatformError(f"the links could not be proposed ({said})", "Try again: it goes on from there", kind="server") from None
    if answer.report is None:
        kind = getattr(errors, answer.error, QCityError)
        plain = isinstance(kind, type) and issubclass(kind, QCityError) and kind not in (errors.PlatformError, errors.TunnelError)
        raise (kind if plain else QCityError)(answer.what, answer.todo)
    return answer.report
