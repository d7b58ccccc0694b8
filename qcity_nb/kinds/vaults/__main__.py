"""`python -m qcity_nb.kinds.vaults`: one act on one vault, asked on standard input and answered on standard output, both JSON."""

from __future__ import annotations

import sys

from ...errors import HomeError
from ...model.vault import VaultAnswer, VaultAsk
from .. import answers
from .acts import do


def answer(ask: VaultAsk) -> VaultAnswer:
    """Do what is asked; whatever fails is a sentence."""
    return answers.given(lambda: do(ask), VaultAnswer, failed=f"the vault {ask.config.name} could not be asked", unforeseen=HomeError)


if __name__ == "__main__":
    sys.exit(answers.main(VaultAsk, answer))
