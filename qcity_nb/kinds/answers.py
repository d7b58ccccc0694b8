"""A family of kinds as a process: one question on standard input, one answer on standard output, both JSON. `client.questions` is the other end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

import msgspec

from .. import errors
from ..decide.redact import redact
from ..decide.wording import line
from ..errors import QCityError

Q = TypeVar("Q")
A = TypeVar("A")


def given(do: Callable[[], A], told: Callable[..., A], *, failed: str, unforeseen: type[QCityError]) -> A:
    """What comes of doing it; whatever fails is a sentence.

    Args:
        told: makes an answer of an error: `error`, the name of its class, `what` and `todo`.
        failed: that it failed, in words, when nobody foresaw how.
        unforeseen: as which error that is told.
    """
    try:
        return do()
    except QCityError as error:
        known = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
        return told(error=known.__name__, what=redact(error.what), todo=redact(error.todo))
    except Exception as error:  # noqa: BLE001 - the process's one catch-all: what nobody foresaw is told, and recorded on standard error
        traceback.print_exc()
        text = line(redact(f"{type(error).__name__}: {error}"))
        return told(error=unforeseen.__name__, what=f"{failed} ({text})", todo="This is a mistake in qcity: report it")


def main(question: type[Q], answer: Callable[[Q], object]) -> int:
    """One question, one answer."""
    sys.stdout.buffer.write(msgspec.json.encode(answer(msgspec.json.decode(sys.stdin.buffer.read(), type=question))))
    return 0
