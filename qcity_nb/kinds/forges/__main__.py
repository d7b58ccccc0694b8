"""`python -m qcity_nb.kinds.forges`: one proposal, asked on standard input and answered on standard output, both JSON.

A process of its own, because whoever asks may know no kinds.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import msgspec

from ...decide.links import Aim, Rewriter
from ...decide.redact import redact
from ...decide.wording import line
from ...errors import QCityError
from ...model.home import Home
from ...model.proposal import ProposalAnswer, ProposalAsk
from .proposing import propose, withdraw


def answer(ask: ProposalAsk) -> ProposalAnswer:
    """Do what is asked; whatever fails is a sentence."""
    home = Home(Path(ask.home))
    try:
        if ask.binding is None:
            return ProposalAnswer(report=withdraw(home, ask.undo, actor=ask.actor))
        aim = Aim(tunnel=ask.tunnel, new=ask.new, old=ask.old, shared=ask.shared)
        rewriter = Rewriter(aim=aim, patterns=ask.binding.patterns)
        return ProposalAnswer(report=propose(home, ask.binding, rewriter, why=ask.why, actor=ask.actor))
    except QCityError as error:
        return ProposalAnswer(error=type(error).__name__, what=redact(error.what), todo=redact(error.todo))
    except Exception as error:  # noqa: BLE001 - the process's one catch-all: what nobody foresaw is told, and recorded on standard error
        traceback.print_exc()
        text = line(redact(f"{type(error).__name__}: {error}"))
        return ProposalAnswer(error="QCityError", what=f"the links could not be proposed ({text})", todo="This is a mistake in qcity: report it")


def main() -> int:
    """One question, one answer."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=ProposalAsk)
    sys.stdout.buffer.write(msgspec.json.encode(answer(ask)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
