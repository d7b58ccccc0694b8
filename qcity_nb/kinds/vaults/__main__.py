"""`python -m qcity_nb.kinds.vaults`: one act on one vault, asked on standard input and answered on standard output, both JSON."""

from __future__ import annotations

import sys
import traceback

import msgspec

from ...decide.redact import redact
from ...decide.wording import line
from ...errors import QCityError
from ...model.vault import VaultAnswer, VaultAsk
from .acts import do


def answer(ask: VaultAsk) -> VaultAnswer:
    """Do what is asked; whatever fails is a sentence."""
    try:
        return do(ask)
    except QCityError as error:
        kind = type(error).__name__ if type(error).__name__ != "Superseded" else "Refused"
        return VaultAnswer(error=kind, what=redact(error.what), todo=redact(error.todo))
    except Exception as error:  # noqa: BLE001 - the process's one catch-all: what nobody foresaw is told, and recorded on standard error
        traceback.print_exc()
        text = line(redact(f"{type(error).__name__}: {error}"))
        return VaultAnswer(error="HomeError", what=f"the vault {ask.config.name} could not be asked ({text})", todo="Report it: a mistake in qcity")


def main() -> int:
    """One question, one answer."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=VaultAsk)
    sys.stdout.buffer.write(msgspec.json.encode(answer(ask)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
