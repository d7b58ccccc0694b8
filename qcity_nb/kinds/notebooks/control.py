"""What whoever has a notebook run wants to know of it and may do to it while it goes on. papermill itself wants nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from ...decide.notebook import is_secret
from .shut import Shut

MASK = "***"
RENDERER, RENDERS = "PLOTLY_RENDERER", "plotly_mimetype"
HEADLESS = "QCITY_NB_HEADLESS"  # nobody looks at a run's kernel: what is live elsewhere is a static picture there
"""Older releases of plotly put megabytes of script into a notebook unless this says otherwise; a page of a run brings its own."""
SERVICE = ("QCITY_SERVICE", "QCITY_INCARNATION")


@dataclass
class Kept:
    """The kernel of a run that failed, kept so that the run can go on. `close` removes its files once it is over."""

    km: AsyncKernelManager
    close: contextlib.ExitStack


class Control:
    """Wants nothing.

    Attributes:
        env: what the kernel finds in its environment; None means what is in ours.
        shut: what it is shut into.
        secrets: texts that must be in no output.
        first: the number of the cell to begin with, from 0; the ones before it are `earlier`, as they were executed.
        kernel: the one to go on with; a new one if None.
        keeps: whether the kernel of a run that failed in a cell is to be kept.
    """

    env: Mapping[str, str] | None = None
    shut: Shut | None = None
    secrets: Sequence[str] = ()
    first: int = 0
    earlier: Sequence[Any] = ()
    kernel: Kept | None = None
    keeps: bool = False

    def ready(self, stop: Callable[[], object]) -> None:
        """The run has begun; `stop` ends it, from any thread."""

    def over(self) -> None:
        """`stop` has no effect any more."""

    def began(self, number: int) -> None:
        """A cell begins; `number` from 0."""

    def ended(self, number: int, *, seconds: float, failed: bool) -> None:
        """It ended."""

    def said(self, text: str) -> None:
        """The cell printed something."""

    def shows(self, tail: str) -> None:
        """The end of all that the cell printed so far; told of a run elsewhere instead of `said`."""

    def kept(self, kernel: Kept) -> None:
        """Here is the kernel that was to be kept."""


def inherited() -> dict[str, str]:
    """What a kernel without a sandbox finds of our own environment: nothing that looks like a secret, nor what makes us a service."""
    ours = {name: value for name, value in os.environ.items() if not is_secret(name) and not name.startswith(SERVICE)}
    return {RENDERER: RENDERS, HEADLESS: "1", **ours}


def scrub(outputs: Sequence[MutableMapping[str, Any]], secrets: Sequence[str]) -> None:
    """Take secrets out of what a cell shows: its streams, its data, its tracebacks."""
    if not secrets:
        return
    for out in outputs:
        for name, value in list(out.items()):
            cleaned = masked(value, secrets)
            if cleaned != value:
                out[name] = cleaned


def masked(value: Any, secrets: Sequence[str]) -> Any:
    """A value without secrets, however deep they are in it."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, list):
        return [masked(one, secrets) for one in value]
    if isinstance(value, dict):
        cleaned = {masked(key, secrets): masked(one, secrets) for key, one in value.items()}
        return value if cleaned == value else type(value)(cleaned)
    return value


