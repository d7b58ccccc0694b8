"""A question to a family of kinds, put to a process of its own: whoever asks may know no kinds, and what is asked takes seconds or minutes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from .. import errors
from ..decide.wording import line
from ..errors import PlatformError, QCityError, TunnelError


class Told(Protocol):
    """An answer: what was asked for, or the error, by its class, what and what to do."""

    @property
    def error(self) -> str:
        """The name of its class; empty when there is none."""

    @property
    def what(self) -> str:
        """What happened."""

    @property
    def todo(self) -> str:
        """What to do next."""


A = TypeVar("A", bound=Told)


def put(
    family: str, ask: object, kind: type[A], *, seconds: float, late: QCityError, failed: Callable[[str], QCityError], other: type[QCityError]
) -> A:
    """The answer of `python -m qcity_nb.kinds.FAMILY`; `kinds.answers` is the other end.

    Args:
        kind: what answers are.
        late: raised when there is none in time.
        failed: from its last words, what is raised when it ends without an answer.
        other: what an error is raised as whose class says more than its words.

    Raises:
        QCityError: it says so, or one of these.
    """
    command = [sys.executable, "-m", f"qcity_nb.kinds.{family}"]
    try:
        done = subprocess.run(command, input=msgspec.json.encode(ask), capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise late from None
    try:
        answer = msgspec.json.decode(done.stdout, type=kind)
    except msgspec.DecodeError:
        raise failed(line(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]) or f"exit code {done.returncode}") from None
    if answer.error:
        known = getattr(errors, answer.error, other)
        plain = isinstance(known, type) and issubclass(known, QCityError) and known not in (PlatformError, TunnelError)
        raise (known if plain else other)(answer.what, answer.todo)
    return answer
