"""`python -m qcity_nb.kinds.forges`: one proposal, asked on standard input and answered on standard output, both JSON.

A process of its own, because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...decide.links import Aim, Rewriter
from ...errors import QCityError
from ...model.home import Home
from ...model.proposal import ProposalAnswer, ProposalAsk
from .. import answers
from .proposing import propose, withdraw


def answer(ask: ProposalAsk) -> ProposalAnswer:
    """Do what is asked; whatever fails is a sentence."""
    return answers.given(lambda: _do(ask), ProposalAnswer, failed="the links could not be proposed", unforeseen=QCityError)


def _do(ask: ProposalAsk) -> ProposalAnswer:
    home = Home(Path(ask.home))
    if ask.binding is None:
        return ProposalAnswer(report=withdraw(home, ask.undo, actor=ask.actor))
    aim = Aim(tunnel=ask.tunnel, new=ask.new, old=ask.old, shared=ask.shared)
    rewriter = Rewriter(aim=aim, patterns=ask.binding.patterns)
    return ProposalAnswer(report=propose(home, ask.binding, rewriter, why=ask.why, actor=ask.actor))


if __name__ == "__main__":
    sys.exit(answers.main(ProposalAsk, answer))
